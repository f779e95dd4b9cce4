"""The circle on a Debian 13 whose systemd-boot starts unified kernel images of its own making."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.endings import Kind, kept_and_retired, rolled_back_and_retired
from tests.e2e.test_circle import (
    NEW,
    OLD,
    boot_without_stick,
    install_the_next_kernel,
    offer_the_next_kernel,
    there,
)
from tests.lab.appliance import Appliance
from tests.lab.circle import lent, machine_with_stick, outliving, stick_with_shell, trial_kept
from tests.lab.console import Console
from tests.lab.installed import InstalledSystem
from tests.lab.machine import Machine
from tests.lab.proof import ProofOfBoot
from tests.lab.unified import ESP, IMAGES, unified_system

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.timeout(10800),
]

ENTRIES = f"{ESP}/loader/entries"
VARIABLES = "/sys/firmware/efi/efivars"
KIND = Kind(
    frozenset({"root", "srv", "swap", "twinboot-state"}),
    ours=f"{ESP}/twinboot {ENTRIES}/* {IMAGES}/*.twinboot /root/TWINBOOT.txt /var/lib/twinboot",
)
PACKAGES = ("ledger", "linux-image-amd64")


@dataclass
class Kept:
    """A machine that has gone round and is off, and what was seen on the way; `images` are its first ones."""

    machine: Machine
    system: InstalledSystem
    proof: ProofOfBoot
    inspected: dict[str, Any]
    verdict: dict[str, Any]
    images: list[str]
    armed: list[str]


def _variable(shell: Console, name: str) -> str:
    """What the loader's variable says; empty where there is none."""
    file = f"{VARIABLES}/{name}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
    return shell.run(f"cat {file} 2>/dev/null | tail -c +5 | tr -d '\\000'").text.strip()


def _chosen(shell: Console) -> list[str]:
    """What its lasting variables choose."""
    found = {name: _variable(shell, f"LoaderEntry{name}") for name in ("OneShot", "Default")}
    return [f"{name}={value}" for name, value in found.items() if value]


def _images(shell: Console, folder: str) -> list[str]:
    """The unified images and their hashes."""
    return shell.read(f"(cd {folder} && sha256sum -- *)", limit=300).splitlines()


def _line_in(shell: Console, image: str) -> list[str]:
    """The words of the command line inside an image, as the tool that made it reads it."""
    return shell.read(f"ukify inspect {image}", limit=600).partition("\n.cmdline:")[2].split()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Ledger 1.1 and a kernel update, rehearsed and promoted by the command line, kept by itself."""
    yield from lent(_go_round, tmp_path_factory.mktemp("uki"))


def _go_round(folder: Path) -> Kept:
    system = unified_system()
    with outliving(machine_with_stick(system, folder, "1.1", kernel=True)) as machine:
        appliance = Appliance.boot(machine)
        shell = appliance.shell
        shell.read("mkdir -p /run/esp && mount -t vfat -o ro /dev/vda2 /run/esp")
        images = _images(shell, "/run/esp/EFI/Linux")
        shell.read("umount /run/esp")
        inspected = appliance.inspect()
        verdict = appliance.rehearse("--packages", *PACKAGES)
        appliance.read("promote", "tb1", "--confirm", "0001", limit=900)
        armed = _chosen(shell)
        appliance.reboot()
        proof = trial_kept(machine)
        machine.power_off()
        return Kept(machine, system, proof, inspected, verdict, images, armed)


def test_it_is_rehearsed_by_its_own_loader_and_images(kept: Kept) -> None:
    (system,) = kept.inspected["systems"]
    assert (system["os_version"], system["loader"]["unified"]) == ("13", True)
    assert kept.verdict["result"] == "PASS"
    assert kept.verdict["seal"] == "frozen"
    changed = {p["name"]: p["after"] for p in kept.verdict["packages"]}
    update = kept.system.offers.update
    assert changed[f"linux-image-{update.release}"] == update.lab_version
    assert kept.armed == ["OneShot=twinboot-new-tb1.conf", "Default=twinboot-previous-tb1.conf"]


def test_the_metal_runs_what_was_tested_and_keeps_it_by_an_image_of_its_own(kept: Kept) -> None:
    proof = kept.proof
    assert (proof.root, proof.ledger, proof.failed_units) == (NEW, "1.1", ())
    assert f"root={NEW}" in proof.cmdline.split() and "twinboot.trial=tb1" in proof.cmdline.split()
    with kept.machine.fork() as machine:
        after = boot_without_stick(machine)
        assert (after.root, after.ledger, after.failed_units) == (NEW, "1.1", ())
        assert after.kernel == kept.system.offers.update.release
        line = after.cmdline.split()
        assert f"root={NEW}" in line and not [w for w in line if w.startswith(("twinboot.", "panic="))]
        shell = machine.shell()
        assert _chosen(shell) == []
        image = _variable(shell, "LoaderEntrySelected")
        assert image.endswith(f"-{after.kernel}.efi".lower())
        assert _variable(shell, "StubInfo").startswith("systemd-stub ")
        assert set(_line_in(shell, f"{IMAGES}/*-{after.kernel}.efi")) >= {f"root={NEW}"}
        assert there(shell, f"{ENTRIES}/twinboot-new-tb1.conf") == []
        machine.power_off()


def test_rolled_back_and_retired_the_machine_is_what_it_was(kept: Kept, tmp_path: Path) -> None:
    with kept.machine.fork() as machine:
        rolled_back_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        shell = machine.shell()
        assert _images(shell, IMAGES) == kept.images
        assert f"root={OLD}" in shell.read("cat /etc/kernel/cmdline").split()
        assert _chosen(shell) == []
        machine.power_off()


def test_retired_the_kept_system_has_the_root_volume_s_name_and_images_of_its_own(
    kept: Kept, tmp_path: Path
) -> None:
    with kept.machine.fork() as machine:
        kept_and_retired(machine, KIND, kept.system, stick_with_shell(tmp_path))
        shell = machine.shell()
        assert _chosen(shell) == []
        release = kept.system.offers.update.release
        assert _variable(shell, "LoaderEntrySelected").endswith(f"-{release}.efi".lower())
        line = _line_in(shell, f"{IMAGES}/*-{release}.efi")
        assert f"root={OLD}" in line and f"root={NEW}" not in line
        assert f"root={OLD}" in shell.read("cat /etc/kernel/cmdline").split()
        machine.power_off()
        offer_the_next_kernel(machine, kept.system, tmp_path)
        machine.power_on()
        install_the_next_kernel(machine.shell(), kept.system)
        machine.power_off()
        proof = boot_without_stick(machine)
        assert (proof.root, proof.failed_units) == (OLD, ())
        assert proof.kernel == kept.system.offers.following.release
        machine.power_off()
