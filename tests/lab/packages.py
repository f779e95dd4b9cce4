"""Trees of Debian's packages, made by mmdebstrap."""

from __future__ import annotations

from pathlib import Path

from tests.lab.native import run


def unpack(root: Path, variant: str, suite: str, mirror: str, names: tuple[str, ...]) -> None:
    """Make `root` of `names` and what they depend on, and of what mmdebstrap(1) adds for `variant`; with
    "extract" none is set up. LabError where it fails or takes more than twenty minutes."""
    run(
        *("mmdebstrap", "--mode=root", f"--variant={variant}", "--format=directory"),
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--include={','.join(names)}", suite, root, f"deb {mirror} {suite} main"),
        timeout=1200,
    )
