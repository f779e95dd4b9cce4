"""A bundle of rpms on the stick, as the guest sees it: a repository (repodata/) or plain files.

Every package carries its own signature: the guest's own rpm judges each by the keys the guest has.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from appliance.errors import Refused
from appliance.patching.base import Guest

_LOOK = r"""
cd "$1" || exit 1
[ -e repodata/repomd.xml ] && echo repository
find . -name '*.rpm' ! -name '*.src.rpm' -type f | sort | while IFS= read -r f; do
    rpm -qp --nosignature --qf 'rpm\t%{NAME}\t' "$f" 2>/dev/null || { echo "bad $f"; continue; }
    echo "${f#./}"
    echo "check $(rpm -K "$f" 2>/dev/null)"
done
exit 0
"""
# "x.rpm: digests signatures OK" (rpm 4.14 and later), "x.rpm: rsa sha1 (md5) pgp md5 OK" (before);
# what is unsigned has no such word, what no key fits has it in capitals.
_GOOD = re.compile(r": .*\b(signatures|pgp|rsa|gpg|dsa)\b.* OK$")


@dataclass(frozen=True, slots=True)
class Rpm:
    """`file` is its path below the bundle's folder; `trusted`: signed by a key that the guest has."""

    file: str
    name: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class RpmBundle:
    path: str
    repository: bool
    rpms: tuple[Rpm, ...]

    @property
    def untrusted(self) -> tuple[str, ...]:
        return tuple(rpm.file for rpm in self.rpms if not rpm.trusted)


def look(guest: Guest, path: str) -> RpmBundle:
    """Find out what the bundle is. Raises Refused where there is nothing that rpm could install."""
    out = guest.exec(("sh", "-c", _LOOK, "twinboot", path), timeout=1800)
    if out.status != 0:
        raise Refused((f"The bundle is not there: {path} cannot be opened in the twin.",))
    lines = out.stdout.decode(errors="replace").splitlines()
    if bad := [line[4:] for line in lines if line.startswith("bad ")]:
        raise Refused(
            tuple(f"{file.removeprefix('./')} of the bundle cannot be read as an rpm." for file in bad)
        )
    found: list[Rpm] = []
    for line, check in itertools.pairwise(lines):
        parts = line.split("\t", 2)
        if parts[0] == "rpm" and len(parts) == 3 and check.startswith("check "):
            found.append(Rpm(parts[2], parts[1], bool(_GOOD.search(check))))
    if not found:
        raise Refused(("The bundle holds no .rpm file.",))
    return RpmBundle(path.rstrip("/"), "repository" in lines, tuple(found))
