"""Run-time state that goes back to the origin's content before the freeze."""

from __future__ import annotations

from pathlib import Path

from appliance.errors import TwinFailed
from appliance.host.run import Host, read, write
from appliance.twin.guest import Guest
from appliance.twin.quiet import RESTORED

ARCHIVE = "runtime.tar"
LARGEST = 256 << 20
"""Bytes. A bigger spool is left as the twin has it, and said."""


def archive_runtime(host: Host, root: Path, archive: Path) -> tuple[str, ...]:
    """Pack the origin's content of RESTORED from the file system mounted read-only at `root` into `archive`.

    Returns the paths that were left out for their size. Paths the origin does not have are not in the
    archive, and are removed in the twin.
    """
    chosen: list[str] = []
    too_big: list[str] = []
    for path in RESTORED:
        place = root / path.lstrip("/")
        if place.is_symlink() or not place.exists():
            continue
        size = int(host.run(read("du", "-sbx", str(place), timeout=300)).stdout.split()[0])
        (too_big if size > LARGEST else chosen).append(path)
    names = [f".{path}" for path in chosen]
    host.run(
        write("tar", "--create", "--file", str(archive), "--numeric-owner", "--xattrs", "--sparse",
              "--directory", str(root), "--no-recursion", "--", ".", timeout=60)
    )  # fmt: skip
    if names:
        host.run(
            write("tar", "--append", "--file", str(archive), "--numeric-owner", "--xattrs", "--sparse",
                  "--one-file-system", "--directory", str(root), "--", *names, timeout=600)
        )  # fmt: skip
    return tuple(too_big)


def restore_script(archive: str, skipped: tuple[str, ...] = (), root: str = "/") -> bytes:
    """POSIX sh for the guest: each of RESTORED back to what `archive` holds, then compared with it.

    Ends with status 0 only where every path is as in the archive.
    """
    # An archive that does not read whole ends the script before anything is removed.
    lines = ["set -eu", f"cd {root}", f"tar -tf '{archive}' >/dev/null"]
    for path in RESTORED:
        if path in skipped:
            continue
        name = f".{path}"
        lines += [
            # A symbolic link is the machine's own arrangement; what it leads to is listed by itself.
            f"if [ ! -L {name} ]; then",
            f"  if tar -tf '{archive}' '{name}' >/dev/null 2>&1; then",
            f"    rm -rf -- {name}",
            f"    tar -x --numeric-owner -p -f '{archive}' '{name}'",
            f"    tar -d --numeric-owner -f '{archive}' '{name}' || {{ echo 'DIFFERS {path}'; exit 3; }}",
            "  else",
            f"    rm -rf -- {name}",
            "  fi",
            "fi",
        ]
    return "\n".join([*lines, "sync", "exit 0", ""]).encode()


def restore(guest: Guest, archive: str, skipped: tuple[str, ...] = (), limit: float = 900.0) -> None:
    """Bring the twin's run-time state back to the origin's. `archive` is its path in the guest."""
    said = guest.exec(("sh", "-s"), stdin=restore_script(archive, skipped), timeout=limit)
    if said.status != 0:
        tail = (said.stdout + said.stderr).decode(errors="replace").strip()[-300:]
        raise TwinFailed(f"The twin's run-time state could not be put back: {tail or said.status}.")
