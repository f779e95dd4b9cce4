"""What two systems' own udevadm said of one card, and what they are kept from doing while they say it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import Cancelled, CommandFailed
from appliance.host.run import Command, Effect, Output
from appliance.model.metal import Card
from appliance.twin.udev_names import LOOK, RULE, RULE_FILE, Name, deaf_filter, names_in, parse

# `udevadm test --action=add /sys/class/net/eth0` of Debian 12 and 13 for one virtio card.
RECORDED = Path(__file__).with_name("recorded")
V252, V257 = ((RECORDED / f"udevadm-test-{v}.txt").read_text() for v in ("v252", "v257"))
DEFAULT = {
    "v252": "[Match]\nOriginalName=*\n\n[Link]\nNamePolicy=keep kernel database onboard slot path\n"
    "AlternativeNamesPolicy=database onboard slot path\nMACAddressPolicy=persistent\n",
    "v257": "[Match]\nOriginalName=*\n[Link]\nAlternativeNamesPolicy=database onboard slot path mac\n",
}
ETH0 = Card(link="eth0", mac="02:fc:00:00:00:01", place="0000:00:03.0")
CMDLINE = "BOOT_IMAGE=/vmlinuz root=/dev/mapper/vg0-root ro quiet net.ifnames=0"


class Desk:
    """Answers `udevadm test` with `said`; remembers what was mounted, and what lay in the copy's /run."""

    def __init__(self, root: Path, said: str | Exception = V252) -> None:
        for name in ("run", "tmp"):
            (root / name).mkdir(parents=True, exist_ok=True)
        self.root = root
        self.said = said
        self.asked: list[Command] = []
        self.mounted: list[tuple[str, ...]] = []
        self.rule = ""

    def run(self, command: Command) -> Output:
        if command.argv[0] != "unshare":
            self.mounted.append(command.argv)
            return Output(0, "")
        self.asked.append(command)
        self.rule = (self.root / RULE_FILE).read_text()
        assert Path(command.argv[command.argv.index("twinboot") + 2]).read_bytes() == deaf_filter()
        if isinstance(self.said, Exception):
            raise self.said
        return Output(0, self.said)


def test_a_card_is_called_what_the_last_rule_saw(tmp_path: Path) -> None:
    assert parse(V252, lambda _: DEFAULT["v252"]) == Name("enp0s3")
    assert parse(V257, lambda _: DEFAULT["v257"]) == Name("ens3", ("enp0s3", "enx02fc00000001"))


def test_without_a_policy_there_is_no_other_name() -> None:
    for text in (None, "[Link]\nName=lan9\n", "[Link]\nAlternativeNamesPolicy=\n"):
        assert parse(V257, lambda _, text=text: text) == Name("ens3")


def test_a_drop_in_has_the_last_word() -> None:
    text = V257 + "  ID_NET_LINK_FILE_DROPINS=/etc/systemd/network/99-default.link.d/x.conf\n"
    said = {"/etc/systemd/network/99-default.link.d/x.conf": "[Link]\nAlternativeNamesPolicy=path\n"}
    assert parse(text, lambda path: said.get(path, DEFAULT["v257"])) == Name("ens3", ("enp0s3",))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Failed to open device: No such device\n",
        "ID_NET_NAME=enp0s3\n",
        "TWINBOOT_NAME=\n",
        "TWINBOOT_NAME=sixteen-letters-\n",
        "TWINBOOT_NAME=a/b\n",
        "TWINBOOT_NAME=a\x1b[31m\n",
    ],
)
def test_what_is_no_name_is_none(text: str) -> None:
    assert parse(text, lambda _: None) is None


@given(st.text(max_size=300))
def test_any_words_are_read(text: str) -> None:
    name = parse(text, lambda _: text)
    assert name is None or 0 < len(name.name) < 16


def test_udev_of_the_copy_is_asked_by_a_rule_of_ours_in_memory(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert names_in(desk, tmp_path, CMDLINE, [ETH0]) == {"eth0": Name("enp0s3")}
    (asked,) = desk.asked
    assert asked.effect is Effect.READ
    assert asked.argv[-4:] == ("udevadm", "test", "--action=add", "/sys/class/net/eth0")
    assert CMDLINE in asked.argv and dict(asked.env)["SYSTEMD_PROC_CMDLINE"] == CMDLINE
    assert desk.rule == RULE
    run = next(i for i, argv in enumerate(desk.mounted) if argv[-1] == str(tmp_path / "run"))
    assert "tmpfs" in desk.mounted[run], "the rule is not written to the volume"


def test_the_copy_is_read_only_and_the_card_out_of_reach(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    names_in(desk, tmp_path, CMDLINE, [ETH0])
    argv = desk.asked[0].argv
    assert argv[argv.index(CMDLINE) + 1 : argv.index("--")] == ("nodev,nosuid,exec,ro", str(tmp_path))
    # The card is in the appliance's own network namespace: what keeps it is that nothing may be done.
    assert "--net" not in desk.asked[0].argv
    for word in ("--bounding-set=-all,+sys_chroot", "--no-new-privs", "--seccomp-filter", "-o ro,nosuid"):
        assert word in LOOK


def test_a_card_that_the_appliance_named_is_not_asked_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    renamed = Card(link="enp0s3", mac=ETH0.mac, place=ETH0.place, renamed=True)
    assert names_in(desk, tmp_path, CMDLINE, [renamed]) == {}
    assert desk.asked == desk.mounted == []


def test_a_system_that_does_not_answer_names_nothing_and_ends_nothing(tmp_path: Path) -> None:
    for said in (CommandFailed("unshare did not finish within 300 s."), "udevadm: not found"):
        assert names_in(Desk(tmp_path, said), tmp_path, CMDLINE, [ETH0]) == {}
    with pytest.raises(Cancelled):
        names_in(Desk(tmp_path, Cancelled("")), tmp_path, CMDLINE, [ETH0])


def test_a_run_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/run").symlink_to("/run")
    desk = Desk(tmp_path)
    assert names_in(desk, tmp_path / "root", CMDLINE, [ETH0]) == {}
    assert desk.asked == []


# The filter, played as the kernel plays it (Documentation/networking/filter.rst).


def verdict(number: int, arch: int = 0xC000003E, *arguments: int) -> int:
    """What the filter returns for a system call."""
    data = struct.pack("=iIQ6Q", number, arch, 0, *(*arguments, *(0,) * (6 - len(arguments))))
    program = [struct.unpack("=HBBI", deaf_filter()[at : at + 8]) for at in range(0, len(deaf_filter()), 8)]
    loaded, at = 0, 0
    while True:
        code, yes, no, k = program[at]
        at += 1
        if code == 0x06:
            return int(k)
        if code == 0x20:
            (loaded,) = struct.unpack_from("=I", data, k)
        else:
            at += yes if (loaded == k if code == 0x15 else loaded >= k) else no


ALLOW = 0x7FFF0000


@pytest.mark.parametrize("family", [1, 2, 10, 17, 40])
def test_no_socket_but_netlink_s_opens(family: int) -> None:
    assert verdict(41, 0xC000003E, family) != ALLOW
    assert verdict(41, 0xC000003E, 16) == ALLOW


def test_there_is_no_way_round_the_filter() -> None:
    assert verdict(425) != ALLOW, "io_uring_setup"
    assert verdict(0x40000000 + 41, 0xC000003E, 2) != ALLOW, "x32"
    assert verdict(102, 0x40000003) != ALLOW, "socketcall of i386"
    assert all(verdict(number) == ALLOW for number in (0, 1, 2, 16, 44, 59, 257))
    assert os.strerror(0xFFFF & verdict(41, 0xC000003E, 2)) == "Address family not supported by protocol"
