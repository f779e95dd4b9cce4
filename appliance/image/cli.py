"""`python -m appliance.image` and `twinboot image`: build the stick, the disc and the PXE folder."""

from __future__ import annotations

import argparse
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import ApplianceError
from appliance.host.run import RealHost

HELP = """\
Write the stick (DEVICE is the whole stick, as /dev/sdx; everything on it is lost):
  lsblk -o NAME,SIZE,MODEL,TRAN            # find it: TRAN says usb
  dd if=dist/twinboot.img of=DEVICE bs=4M conv=fsync status=progress
On Windows, any tool that writes raw images does it (Rufus: DD mode).
The first start grows the data partition TWINBOOT to the whole stick.

Start from dist/twinboot.iso: give it to the BMC as virtual media, put it as a file on a multi-boot stick
(its GRUB reads /boot/grub/loopback.cfg in it), or write it to a disc or a stick. Nothing on it can be
written: reports stay on the machine's state volume, or are sent to a URL (twinboot export). Over a slow
BMC choose "copied to memory" in the menu.

Both start with Secure Boot on (Debian's signed shim and GRUB); the network folder does not.

Serve it over the network: copy dist/pxe/ to a web server, keep the files together, and name one of
these as the boot file in DHCP:
  boot.ipxe         for iPXE, by its http:// address; everything else is fetched from the same folder
  twinbootx64.efi   for UEFI firmware (TFTP or HTTP boot)
  twinboot.0        for BIOS firmware (TFTP)
Try it in QEMU:
  python3 -m http.server -d dist/pxe 8000 &
  qemu-system-x86_64 -m 4096 -nographic -boot n -nic user,model=virtio,bootfile=http://10.0.2.2:8000/boot.ipxe
The kernel's arguments carry the root's sha256: after a new build replace the whole folder.

Where the packages come from: TWINBOOT_MIRROR and TWINBOOT_SECURITY_MIRROR, else this machine's own
apt sources.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parses and runs; returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.action == "lock":
            _lock(arguments.checkout)
        else:
            _build(arguments)
    except ApplianceError as error:
        print(f"{error.code}: {error.what}", file=sys.stderr)
        for number, action in enumerate(error.next_actions, 1):
            print(f"  {number}. {action}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="twinboot image",
        description="Builds dist/: twinboot.img (USB), twinboot.iso (disc) and pxe/ (network).",
        epilog=HELP, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    checkout = Path(__file__).resolve().parents[2]
    what = "build (default), or lock: resolve the venv's wheels anew and write the lock file"
    parser.add_argument("action", nargs="?", default="build", choices=("build", "lock"), help=what)
    parser.add_argument("--fast", action="store_true", help="compress less: quicker to build, a bigger image")
    parser.add_argument(
        "--fresh", action="store_true", help="build the system anew, with the mirror's latest packages"
    )
    parser.add_argument(
        "--dist", type=Path, default=checkout / "dist", help="where to put the result (default: dist/)"
    )
    parser.add_argument("--checkout", type=Path, default=checkout, help="the checkout to build from")
    return parser


def _build(arguments: argparse.Namespace) -> None:
    # parted is needed only to build, and this module is also imported for its help.
    from appliance.image.build import Request, build
    from appliance.image.progress import Progress

    request = Request(arguments.checkout, arguments.dist, fast=arguments.fast, fresh=arguments.fresh)
    build(request, RealHost(), Progress())


def _lock(checkout: Path) -> None:
    from appliance.image.wheels import FROM_DEBIAN, write_lock

    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["appliance"]
    wanted = [one for one in wanted if not one.startswith(FROM_DEBIAN)]
    with tempfile.TemporaryDirectory() as work:
        lock = checkout / "elements" / "twinboot-python" / "requirements.lock"
        write_lock(RealHost(), wanted, lock, Path(work))
        print(f"Wrote {lock}.")
