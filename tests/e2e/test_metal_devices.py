"""Will it be reached on the metal? A patch that only this machine's own network card sees, and no twin.

In the order of the tests: a .link file for the card's own address, which the twin's card has not; then the
same machine with a patch that leaves its card alone, and names a swap area that no machine has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.test_bad_patches import regions, worse
from tests.lab.appliance import DEBUG_SHELL, Appliance
from tests.lab.circle import IMAGE, machine_with_stick
from tests.lab.hardware import Hardware
from tests.lab.installed import SystemSpec, installed_system
from tests.lab.machine import Machine
from tests.lab.stick import prepare

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.full, pytest.mark.timeout(5400)]

CARD = "enp0s16"
DEVICES, NAMES = "devices of this machine", "network names on this machine"
PATCH = f"""#!/bin/sh
set -e
cat >/etc/systemd/network/10-lan.link <<END
[Match]
PermanentMACAddress={Hardware().mac}
[Link]
Name=lan9
END
"""
RESUME = "etc/initramfs-tools/conf.d/resume"
NOWHERE = "UUID=5a1b6c9e-0000-4000-8000-000000000000"
WAKES = f"#!/bin/sh\necho RESUME={NOWHERE} >/{RESUME}\n"
NOT_HERE = (
    f"New in the patched system: The system would wake from {NOWHERE}, which this machine does not have"
)
WHY = (
    f"The network card {Hardware().mac}, which carries this machine's address as {CARD} "
    "(/etc/network/interfaces), is called lan9 by the patched system's udev on this hardware, and no network "
    "file of it gives that an address: the machine would not be reached."
)


@dataclass
class Story:
    """The machine after the bad patch was rehearsed, its appliance still up."""

    machine: Machine
    appliance: Appliance
    before: dict[str, str]
    verdict: dict[str, Any]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("devices")
    with machine_with_stick(installed_system(SystemSpec()), folder, "1.1") as machine:
        machine.pull_stick()
        files = {"rename.sh": PATCH.encode(), "wakes.sh": WAKES.encode()}
        machine.insert_stick(prepare(IMAGE, folder / "rename.img", files, DEBUG_SHELL))
        before = regions(machine)
        appliance = Appliance.boot(machine)
        yield Story(machine, appliance, before, appliance.rehearse("--script", "rename.sh"))


def check(verdict: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [c for c in verdict["checks"] if c["name"] == name]
    return found


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_a_card_that_would_lose_its_address_is_seen_by_no_twin_and_by_the_verdict(story: Story) -> None:
    verdict = story.verdict
    assert verdict["control"]["failed_units"] == verdict["patched"]["failed_units"] == []
    assert worse(verdict) == {NAMES: WHY}, "the twin itself is well"
    assert (check(verdict, NAMES)["before"], check(verdict, NAMES)["after"]) == (CARD, "lan9")


def test_every_device_has_the_driver_it_had(story: Story) -> None:
    verdict = story.verdict
    assert check(verdict, DEVICES)["outcome"] == "same"
    found = {device["place"]: device for device in verdict["devices"]}
    assert {device["fate"] for device in found.values()} == {"SAME"}
    assert found["0000:00:10.0"]["before"] == found["0000:00:10.0"]["after"] == "virtio_net, virtio_pci"
    assert "Virtio network device" in found["0000:00:10.0"]["name"]


def test_the_appliance_s_own_card_is_what_it_was(story: Story) -> None:
    """Older udevadm sets what a .link file says, also when it only tests."""
    said = story.appliance.shell.read("ip -br link show eth0; cat /sys/class/net/eth0/ifalias")
    assert said.split()[0] == "eth0" and Hardware().mac in said and "altname" not in said


def test_its_promotion_is_refused_by_the_verdict_and_by_the_gate_and_nothing_is_written(story: Story) -> None:
    run, volumes = story.appliance.newest_run(), story.appliance.volumes()
    refused = story.appliance.twinboot("promote", run, "--confirm", "0001")
    assert refused.status == 3 and WHY in one_line(refused.text) and "--force-bad" in refused.text
    forced = story.appliance.twinboot("promote", run, "--force-bad", "--confirm", "0001", limit=900)
    assert forced.status != 0 and WHY in one_line(forced.text)
    assert story.appliance.volumes() == volumes


def test_a_patch_that_leaves_the_card_alone_is_promoted_once_it_names_what_is_here(story: Story) -> None:
    if story.machine.running:
        story.appliance.power_off()
    assert regions(story.machine) == story.before
    appliance = Appliance.boot(story.machine)
    verdict = appliance.rehearse("--script", "wakes.sh")
    assert verdict["result"] == "PASS"
    assert check(verdict, DEVICES)["outcome"] == check(verdict, NAMES)["outcome"] == "same"
    assert check(verdict, NAMES)["before"] == check(verdict, NAMES)["after"] == CARD
    run = appliance.newest_run()
    refused = appliance.twinboot("promote", run, "--confirm", "0001")
    assert refused.status == 3 and NOT_HERE in one_line(refused.text)
    assert NOT_HERE in appliance.status()["next_step"], "who reads Home is not sent into that refusal"
    trial = f"/dev/mapper/vg0-root--{run}"
    there = f"lvchange -K -ay {trial} && mount {trial} /mnt"
    appliance.shell.read(f"{there} && rm /mnt/{RESUME} && umount /mnt && lvchange -an {trial}", limit=300)
    appliance.read("promote", run, "--confirm", "0001", limit=900)
    appliance.power_off()
    assert regions(story.machine) != story.before, "it is armed"
