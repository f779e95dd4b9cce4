"""What is refused, each by a sentence and without one sector written, on a machine spoilt for it and mended.

One start of the stick; the installed system is never started.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.appliance import Appliance
from tests.lab.circle import machine_with_stick
from tests.lab.console import Answer
from tests.lab.installed import SystemSpec, installed_system

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(1800)]

BOOT = "mount /dev/vda3 /mnt && {} && umount /mnt"
ROOT = "lvchange -ay -K vg0/{lv} && mount /dev/vg0/{lv} /mnt && {do} && umount /mnt && lvchange -an vg0/{lv}"
SIGNATURE = "printf '{}' | dd of=/dev/vg0/swap bs=1 seek=4086 conv=notrunc"
SWAP = f"lvchange -ay vg0/swap && {SIGNATURE} && lvchange -an vg0/swap"
GRUB_CFG = "/mnt/grub/grub.cfg"


@dataclass(frozen=True, slots=True)
class Case:
    """How the machine is spoilt and mended (shell), and what the refusal says."""

    spoil: str
    mend: str
    says: str


CASES = {
    "no KVM": Case("modprobe -r kvm_amd", "modprobe kvm_amd", "no hardware virtualisation (KVM)"),
    "hibernated": Case(
        SWAP.format("S1SUSPEND\\000"), SWAP.format("SWAPSPACE2"), "A system sleeps in /dev/mapper/vg0-swap"
    ),
    "foreign custom.cfg": Case(
        BOOT.format("echo '# theirs' >/mnt/grub/custom.cfg"),
        BOOT.format("rm /mnt/grub/custom.cfg"),
        "custom.cfg exists and is not ours: it is left alone",
    ),
    "unknown loader": Case(
        BOOT.format(f"mv {GRUB_CFG} {GRUB_CFG}.away"),
        BOOT.format(f"mv {GRUB_CFG}.away {GRUB_CFG}"),
        "No boot loader was recognised",
    ),
    "no custom.cfg read": Case(
        BOOT.format(f"cp {GRUB_CFG} {GRUB_CFG}.away && sed -i /custom.cfg/d {GRUB_CFG}"),
        BOOT.format(f"mv {GRUB_CFG}.away {GRUB_CFG}"),
        "does not source custom.cfg",
    ),
    "/usr elsewhere": Case(
        ROOT.format(lv="root", do="sed -i 's,[[:space:]]/srv, /usr,' /mnt/etc/fstab"),
        ROOT.format(lv="root", do="sed -i 's,[[:space:]]/usr, /srv,' /mnt/etc/fstab"),
        "/usr lies on a volume of its own",
    ),
    "thin pool too full": Case(
        "lvcreate -q -y -kn -V 2200m --thinpool vg0/pool -n filler"
        " && dd if=/dev/urandom of=/dev/vg0/filler bs=4M count=530 oflag=direct && lvchange -an vg0/filler",
        "lvremove -q -f vg0/filler",
        "The data of the thin pool vg0/pool is",
    ),
    "two systems": Case(
        "lvcreate -q -s -kn -n other vg0/root && lvchange -ay -K vg0/other"
        " && e2fsck -fp /dev/vg0/other && tune2fs -U random /dev/vg0/other && "
        + ROOT.format(lv="other", do="sed -i s,vg0-root,vg0-other, /mnt/etc/fstab"),
        "lvremove -q -f vg0/other",
        "There are 2 installed systems and none was chosen",
    ),
}


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    folder = tmp_path_factory.mktemp("refusals")
    with machine_with_stick(installed_system(SystemSpec()), folder, "1.1") as machine:
        started = Appliance.boot(machine)
        started.read("inspect", "--fresh")
        yield started
        started.power_off()


def written(appliance: Appliance) -> int:
    """Sectors of 512 bytes (Documentation/block/stat.rst, field 7) written to the machine's disk so far."""
    return int(appliance.shell.read("sync; cat /sys/block/vda/stat").split()[6])


def without_a_write(appliance: Appliance, *words: str) -> Answer:
    before, counted = written(appliance), appliance.status()["writes"]
    answer = appliance.twinboot(*words)
    assert written(appliance) == before
    assert appliance.status()["writes"] == counted
    return answer


@pytest.mark.parametrize("name", CASES)
def test_what_can_not_be_rehearsed_is_refused_until_it_is_put_right(appliance: Appliance, name: str) -> None:
    case = CASES[name]
    appliance.shell.read(case.spoil, limit=300)
    appliance.read("inspect", "--fresh")
    refused = without_a_write(appliance, "rehearse", "--nothing")
    appliance.shell.read(case.mend, limit=300)
    appliance.read("inspect", "--fresh")
    assert refused.status == 3
    assert case.says in refused.text
    assert "Traceback" not in refused.text
    assert without_a_write(appliance, "rehearse", "--nothing", "--dry-run").status == 0


def test_a_plan_of_another_machine_and_a_damaged_one_are_refused(
    appliance: Appliance, tmp_path: Path
) -> None:
    plan = json.loads(appliance.read("rehearse", "--nothing", "--dry-run", "--json"))
    assert plan["machine"] == "LAB-0001"
    for name, content, status, says in (
        ("other", json.dumps({**plan, "machine": "LAB-0002"}), 3, "LAB-0002"),
        ("extra", json.dumps({**plan, "colour": "blue"}), 1, "colour"),
        ("torn", json.dumps(plan)[:200], 1, "/tmp/torn.json"),
    ):
        put(appliance, f"/tmp/{name}.json", content)
        refused = without_a_write(appliance, "run", f"/tmp/{name}.json")
        assert (refused.status, says in refused.text) == (status, True), refused.text
        assert "Traceback" not in refused.text


def put(appliance: Appliance, path: str, content: str) -> None:
    """A file on the appliance, in pieces a terminal line can carry."""
    appliance.shell.read(f": >{path}")
    for start in range(0, len(content), 500):
        appliance.shell.read(f"printf %s {shlex.quote(content[start : start + 500])} >>{path}")
