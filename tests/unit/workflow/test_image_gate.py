"""A unified image that was tested is the one that keep will make, or the promotion is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot.artifacts import find_artifacts
from appliance.workflow.steps.image import why_no_image
from appliance.workflow.steps.seal import copy_image
from tests.crash.tinyimage import unified
from tests.unit.boot.test_artifacts import installed

VERSION = "6.12.117+deb13-amd64"
NAME = f"token-{VERSION}.efi"
STUB = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
KERNEL, INITRD = b"kernel" * 500, b"initrd" * 700


class Patched:
    """A patched system with its /boot inside, and what its kernel-install made on the twin's ESP."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = installed(tmp_path, (VERSION,), (VERSION,))
        (tmp_path / "boot").rename(self.root / "boot")
        (self.root / f"boot/vmlinuz-{VERSION}").write_bytes(KERNEL)
        (self.root / f"boot/initrd.img-{VERSION}").write_bytes(INITRD)
        self.esp, self.kept = tmp_path / "esp", tmp_path / "kept"
        self.esp.mkdir()
        self.image(INITRD + b"\0\0")
        conf = ("etc/kernel/install.conf", "# ours\nlayout = uki\n")
        for path, text in (conf, ("usr/bin/ukify", "#!"), (STUB, "MZ")):
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text)

    def image(self, initrd: bytes, kernel: bytes = KERNEL) -> None:
        data = unified(kernel, initrd, "root=/dev/mapper/vg0-root ro", VERSION)
        (self.esp / NAME).write_bytes(data)

    def why(self) -> tuple[str, ...]:
        copy_image(self.root, self.esp, self.kept)
        return why_no_image(self.root, find_artifacts(self.root, self.root / "boot", self.kept))


def test_what_was_made_of_boot_is_taken_and_it_alone_is_kept(tmp_path: Path) -> None:
    here = Patched(tmp_path)
    (here.esp / "token-6.1.efi").write_bytes(unified(b"k", b"i", "ro", "6.1"))
    assert here.why() == ()
    assert [file.name for file in here.kept.iterdir()] == [NAME]
    assert here.why() == (), "safe to repeat"


def test_where_no_image_is_booted_nothing_is_asked(tmp_path: Path) -> None:
    here = Patched(tmp_path)
    assert why_no_image(tmp_path / "none", find_artifacts(here.root, here.root / "boot")) == ()


@pytest.mark.parametrize("initrd", [b"another", INITRD[:-1], INITRD + b"more" * 2000])
def test_an_initrd_that_was_made_since_is_said(tmp_path: Path, initrd: bytes) -> None:
    here = Patched(tmp_path)
    here.image(initrd)
    assert here.why() == (
        f"{NAME} does not hold /boot/initrd.img-{VERSION} of the patched system: kernel-install has not run "
        "since.",
    )


def test_so_is_another_kernel(tmp_path: Path) -> None:
    here = Patched(tmp_path)
    here.image(INITRD, b"old" + KERNEL)
    assert f"{NAME} does not hold /boot/vmlinuz-{VERSION}" in here.why()[0]


@pytest.mark.parametrize("conf", [None, "", "layout=bls\n", "[UKI]\nlayout\n", "layout=bls\nlayout=\n"])
def test_a_system_that_would_make_something_else_is_said(tmp_path: Path, conf: str | None) -> None:
    here = Patched(tmp_path)
    file = here.root / "etc/kernel/install.conf"
    file.unlink()
    if conf is not None:
        file.write_text(conf)
    assert here.why() == (
        "/etc/kernel/install.conf of the patched system says no layout=uki: it makes no unified image.",
    )


def test_so_is_one_without_ukify(tmp_path: Path) -> None:
    here = Patched(tmp_path)
    (here.root / "usr/bin/ukify").unlink()
    assert here.why() == ("The patched system has no ukify, and could not make a unified image of its own.",)


def test_so_is_one_without_a_stub_unless_its_settings_name_another(tmp_path: Path) -> None:
    here = Patched(tmp_path)
    (here.root / STUB).unlink()
    assert "no systemd-boot-efi" in here.why()[0]
    (here.root / "etc/kernel/uki.conf").write_text("[UKI]\nStub=/usr/local/stub.efi\n")
    assert here.why() == ()
