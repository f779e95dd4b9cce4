"""The `ledger` packages: a small service of the lab's own, and what can go wrong with updates of it."""

from __future__ import annotations

from pathlib import Path

from tests.lab.kernels import build_deb

HERE = Path(__file__).parent
PORT = 8377

VERSIONS = {
    "1.0": "installed on every lab machine",
    "1.1": "good",
    "1.2": "installs, its service fails",
    "1.3": "works until the next boot, then fails",
    "1.4": "leaves a half-configured package",
    "1.5": "works where systemd-detect-virt says kvm, fails on the lab's metal, which says qemu",
    "1.6": "good, and migrates its data file in /srv so that an older ledger cannot read it",
}

# What each version does before it serves: lines of Python in the service, the first of which may end it.
FAULTS = {
    "1.2": 'sys.exit("ledger: internal error: ledger table has no root")',
    "1.3": 'open("/run/ledger/state", "a").close()',
    "1.5": 'if os.popen("systemd-detect-virt").read().strip() != "kvm":\n'
    '        sys.exit("ledger: licence check: this is not the machine the licence was issued for")',
}

# What each version's postinst does before it starts the service.
MAINTENANCE = {
    # /run is empty after the next boot: the classic missing RuntimeDirectory=.
    "1.3": "mkdir -p /run/ledger",
    "1.4": 'echo "ledger: cannot convert configuration" >&2\n    exit 1',
    "1.6": "/usr/lib/ledger/ledger --migrate",
}

SCHEMA = {"1.6": 2}

POSTINST = """#!/bin/sh
set -e
if [ "$1" = configure ]; then
    {maintenance}
    deb-systemd-helper unmask ledger.service >/dev/null || true
    deb-systemd-helper enable ledger.service >/dev/null || true
    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        deb-systemd-invoke restart ledger.service >/dev/null || true
    fi
fi
exit 0
"""

PRERM = """#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop ledger.service >/dev/null || true
fi
exit 0
"""

CONTROL = """Package: ledger
Version: {version}
Architecture: all
Section: misc
Priority: optional
Maintainer: Twinboot laboratory <lab@localhost>
Depends: python3-minimal
Description: the lab's own small service
 Answers HTTP on port 8377 with its version and keeps its data in /srv/ledger.
"""


def build(version: str, scratch: Path, pool: Path) -> Path:
    """Make ledger_`version`_all.deb in `pool`."""
    folder = scratch / f"ledger-{version}"
    program = (HERE / "system/ledger.py.in").read_text()
    program = program.replace("@VERSION@", version).replace("@SCHEMA@", str(SCHEMA.get(version, 1)))
    program = program.replace("pass  # @FAULT@", FAULTS.get(version, "pass"))
    _write(folder / "usr/lib/ledger/ledger", program, 0o755)
    _write(folder / "lib/systemd/system/ledger.service", (HERE / "system/ledger.service").read_text(), 0o644)
    _write(folder / "DEBIAN/control", CONTROL.format(version=version), 0o644)
    _write(folder / "DEBIAN/postinst", POSTINST.format(maintenance=MAINTENANCE.get(version, ":")), 0o755)
    _write(folder / "DEBIAN/prerm", PRERM, 0o755)
    return build_deb(folder, pool)


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
