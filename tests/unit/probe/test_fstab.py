"""fstab: its lines, what they mean to a rehearsal, and which device each names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import DamagedData
from appliance.model.machine import FstabEntry, Role
from appliance.probe.fstab import Known, find_device, is_volume, parse_fstab, role_of

DEBIAN = """# /etc/fstab: static file system information.
#
/dev/mapper/vg0-root /               ext4    errors=remount-ro 0       1
# /boot was on /dev/vda3 during installation
UUID=6f2c8e1a-57b4-4a0e-9d53-1c7e0b2f4a61 /boot           ext4    defaults        0       2
/dev/mapper/vg0-my\\040data /srv/my\\040data ext4 defaults
/dev/sr0        /media/cdrom0   udf,iso9660 user,noauto     0       0
tmpfs /tmp tmpfs
/dev/mapper/vg0-swap none            swap    sw              0       0  # trailing words
"""


def entry(target: str, fstype: str = "ext4", spec: str = "/dev/a", options: str = "defaults") -> FstabEntry:
    return FstabEntry(spec=spec, target=target, fstype=fstype, options=options)


def test_debians_fstab() -> None:
    found = parse_fstab(DEBIAN)
    assert [e.target for e in found] == ["/", "/boot", "/srv/my data", "/media/cdrom0", "/tmp", "none"]
    assert (found[0].options, found[0].freq, found[0].passno) == ("errors=remount-ro", 0, 1)
    assert found[2].spec == "/dev/mapper/vg0-my data" and found[4].options == "defaults"
    assert [e.target for e in found if is_volume(e)] == ["/", "/boot", "/srv/my data", "none"]


@pytest.mark.parametrize(
    "line", ["/dev/a /", "/dev/a / ext4 defaults 0 x", "a b c d 0 0 7", "/dev/a / ext4 d -1 0"]
)
def test_damage_names_its_line(line: str) -> None:
    with pytest.raises(DamagedData, match="line 3"):
        parse_fstab(f"# one\n\n{line}\n")


@pytest.mark.parametrize(
    ("target", "role"),
    [
        ("/", Role.ROOT),
        ("/usr", Role.SET),
        ("/usr/", Role.SET),
        ("/usr/share", Role.SET),
        ("/usr/local", Role.DATA),
        ("/var", Role.SET),
        ("/var/lib", Role.SET),
        ("/var/lib/dpkg", Role.SET),
        ("/var/lib/postgresql", Role.DATA),
        ("/var/log", Role.DATA),
        ("/etc", Role.SET),
        ("/opt", Role.SET),
        ("/optional", Role.DATA),
        ("/home", Role.DATA),
        ("/srv", Role.DATA),
    ],
)
def test_roles(target: str, role: Role) -> None:
    assert role_of(entry(target)) is role


def test_swap_is_swap_wherever_it_says_it_is() -> None:
    assert role_of(entry("none", "swap")) is Role.SWAP
    assert role_of(entry("/usr", "swap")) is Role.SWAP


@pytest.mark.parametrize(
    "line",
    [
        entry("/mnt", "nfs4", "server:/x"),
        entry("/mnt", "none", "/srv", "bind"),
        entry("/mnt", "ext4", "/dev/a", "noauto"),
        entry("/mnt", "fuse.sshfs", "a@b:"),
        entry("none", "swap", "/swapfile"),
    ],
)
def test_what_is_no_volume_of_this_machine(line: FstabEntry) -> None:
    assert not is_volume(line)


ROOT = Known(
    path="/dev/mapper/vg0-root", names=frozenset({"/dev/vg0/root"}), fsuuid="AAAA-1", vg="vg0", lv="root"
)
OURS = Known(path="/dev/mapper/vg0-tb1--work", fsuuid="AAAA-1", vg="vg0", lv="tb1-work", ours=True)
ESP = Known(path="/dev/vda2", fsuuid="7A3B-91C4", partuuid="4629c560-f6f4", label="MY ESP", partlabel="esp")


@pytest.mark.parametrize(
    ("spec", "device"),
    [
        ("/dev/mapper/vg0-root", ROOT),
        ("/dev/vg0/root", ROOT),
        ("UUID=aaaa-1", ROOT),
        ('UUID="AAAA-1"', ROOT),
        ("/dev/disk/by-uuid/7a3b-91c4", ESP),
        ("PARTUUID=4629C560-F6F4", ESP),
        ("LABEL=MY ESP", ESP),
        ("/dev/disk/by-label/MY\\x20ESP", ESP),
        ("LABEL=my esp", None),
        ("PARTLABEL=esp", ESP),
        ("UUID=", None),
        ("/dev/vda9", None),
        ("/dev/mapper/vg0-tb1--work", OURS),
    ],
)
def test_devices_by_every_kind_of_name(spec: str, device: Known | None) -> None:
    assert find_device(spec, (OURS, ESP, ROOT)) == device


def test_the_volume_fstab_lies_on_wins_over_its_twin() -> None:
    assert find_device("UUID=AAAA-1", (ROOT, OURS), OURS) == OURS
    assert find_device("UUID=AAAA-1", (OURS, ROOT), ROOT) == ROOT


@given(st.text(max_size=200), st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_hostile_text_is_refused_or_read_never_a_traceback(text: str, spec: str) -> None:
    try:
        for line in parse_fstab(text):
            is_volume(line)
            role_of(line)
            find_device(line.spec, (ROOT, ESP))
    except DamagedData as error:
        assert "line" in str(error)
    find_device(spec, (ROOT, OURS, ESP))
