"""The guest's own package sources, as its own apt reads them: the proxy's allow-list comes from here."""

from __future__ import annotations

from appliance.patching.base import Sources
from appliance.patching.sites import allowed

# apt itself parses its files (one-line and deb822, options, architectures); --no-release-info names the
# sources whose lists were never fetched as well.
SITES = """
apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | sort -u
for k in http https; do
    v=$(apt-config dump --format '%v%n' Acquire::$k::Proxy 2>/dev/null | head -n 1); echo "proxy $v"
done
exit 0
"""


def parse_sources(text: str) -> Sources:
    """Output of SITES."""
    proxies = [line[6:].strip() for line in text.splitlines() if line.startswith("proxy ")]
    uris = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("proxy ")]
    return allowed(uris, next(filter(None, proxies), ""))
