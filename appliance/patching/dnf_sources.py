"""The guest's repositories as its own dnf reads them: the proxy's allow-list comes from here."""

from __future__ import annotations

from appliance.patching.base import Sources
from appliance.patching.sites import allowed

# dnf's own Python (named by its first line; RHEL's is not /usr/bin/python3) parses files and variables.
# The mirrors of a list are known only where dnf has read it before: they lie in its cache.
SITES = r"""
python=$(sed -n '1s/^#! *\([^ ]*\).*/\1/p' "$(command -v dnf)")
exec "$python" - <<'END'
import os, re, dnf
base = dnf.Base()
base.conf.read()
base.conf.substitutions.update_from_etc("/")
base.read_all_repos()
print("proxy", base.conf.proxy or "")
for repo in base.repos.iter_enabled():
    for url in repo.baseurl:
        print("url", url)
    for url in filter(None, (repo.metalink, repo.mirrorlist)):
        print("url", url)
        known = 0
        for name in ("metalink.xml", "mirrorlist"):
            path = os.path.join(repo._repo.getCachedir(), name)
            if os.path.exists(path):
                for one in re.findall(r"https?://[^\s<>\"]+", open(path, errors="replace").read()):
                    known += 1
                    print("url", one)
        if not known:
            print("unknown", repo.id)
END
"""


def parse_sources(text: str) -> Sources:
    """Output of SITES."""
    rows = [line.partition(" ") for line in text.splitlines()]
    return allowed(
        (rest for word, _, rest in rows if word == "url" and rest),
        next((rest.strip() for word, _, rest in rows if word == "proxy"), ""),
        (
            f"The mirrors of the repository {rest} are known only when its list is read:"
            " a rehearsal reaches the list alone. Give it a baseurl, or bring a bundle."
            for word, _, rest in rows
            if word == "unknown"
        ),
    )
