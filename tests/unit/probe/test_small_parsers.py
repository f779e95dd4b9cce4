"""The parsers of small reports: efibootmgr, blkid, dmsetup status, mdadm, smartctl, ipmitool, os-release."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import DamagedData
from appliance.probe.blkid import Content, parse_blkid
from appliance.probe.efi import file_of, parse_efibootmgr, partition_of
from appliance.probe.hardware import parse_cpuinfo, parse_ipmi_lan, parse_meminfo, parse_smartctl
from appliance.probe.lvm import parse_fullreport
from appliance.probe.osinfo import installed_version, kernels, parse_os_release
from appliance.probe.raid import parse_examine
from appliance.probe.thin_status import PoolUsage, pool_usage, thin_percent

ESP = "HD(2,GPT,4629c560-f6f4-a546-87ab-8910523756ab,0x1000,0x40000)"
EFIBOOTMGR = f"""BootCurrent: 0003
Timeout: 0 seconds
BootOrder: 0003,0000,0001
BootNext: 0001
Boot0000* UiApp	FvVol(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(462caa21-7614-4503-836e-8ab6f4662331)
      dp: 04 07 14 00 c9 bd b8 7c
Boot0001  UEFI Misc Device	PciRoot(0x0)/Pci(0x3,0x0){{auto_created_boot_option}}
Boot0003* debian	{ESP}/File(\\EFI\\debian\\shimx64.efi)
Boot0004* debian two	{ESP.replace("4629c560", "4629C560")}/\\EFI\\debian\\grubx64.efi
"""


def test_efibootmgr_17_and_18() -> None:
    found = parse_efibootmgr(EFIBOOTMGR)
    assert (found.current, found.next, found.order) == ("0003", "0001", ("0003", "0000", "0001"))
    by_number = {e.number: e for e in found.entries}
    assert sorted(by_number) == ["0000", "0001", "0003", "0004"]
    assert not by_number["0001"].active and by_number["0001"].label == "UEFI Misc Device"
    for number, name in (("0003", "shimx64.efi"), ("0004", "grubx64.efi")):
        assert partition_of(by_number[number]) == "4629c560-f6f4-a546-87ab-8910523756ab"
        assert file_of(by_number[number]) == f"\\EFI\\debian\\{name}"
    assert partition_of(by_number["0000"]) == file_of(by_number["0000"]) == ""


@pytest.mark.parametrize("text", ["BootCurrent: xyz", "BootOrder: 0001,00", "BootNext:"])
def test_a_boot_number_that_is_none_is_damage(text: str) -> None:
    with pytest.raises(DamagedData, match="no boot number"):
        parse_efibootmgr(text)


BLKID = """DEVNAME=/dev/mapper/twinboot-probe-6
UUID=2d9a6c37-0e5b-4f18-8a7c-93b1d4e6f052
BLOCK_SIZE=4096
TYPE=ext4
USAGE=filesystem

DEVNAME=/dev/mapper/twinboot-probe-8
LABEL=my\\ swap
VERSION=1
UUID=9b7d3e52-8f41-4d06-a2c8-5e1f6a0b9c34
TYPE=swsuspend
USAGE=other
"""


def test_blkid_gives_contents_by_device() -> None:
    found = parse_blkid(BLKID)
    assert found["/dev/mapper/twinboot-probe-6"].fstype == "ext4"
    assert found["/dev/mapper/twinboot-probe-8"] == Content(
        fstype="swsuspend", uuid="9b7d3e52-8f41-4d06-a2c8-5e1f6a0b9c34", label="my swap"
    )
    assert parse_blkid("") == {}


@pytest.mark.parametrize("text", ["TYPE=ext4\n", "DEVNAME=/dev/a\nnothing here\n"])
def test_blkid_without_a_device_or_assignment_is_damage(text: str) -> None:
    with pytest.raises(DamagedData, match="line"):
        parse_blkid(text)


def test_pool_and_thin_status() -> None:
    line = "0 6291456 thin-pool 8 580/4096 34969/49152 - ro discard_passdown queue_if_no_space - 1024 "
    assert pool_usage(line) == PoolUsage(
        transaction=8, data_percent=71.14, metadata_percent=14.16, needs_check=False
    )
    checked = pool_usage(line.replace(" - 1024", " needs_check 1024"))
    assert checked is not None and checked.needs_check
    assert pool_usage("0 6291456 thin-pool Fail") is None
    assert pool_usage("") is None
    assert thin_percent("0 6291456 thin 3481600 3481599") == 55.34
    assert thin_percent("0 6291456 thin 0 -") == 0.0
    assert thin_percent("0 6291456 thin Fail") == 0.0


def test_smartctl_and_ipmitool() -> None:
    assert parse_smartctl('{"smart_status": {"passed": true}, "other": [1]}') == "passed"
    assert parse_smartctl('{"smart_status": {"passed": false}}') == "failing"
    assert parse_smartctl('{"smartctl": {"exit_status": 2}}') == ""
    with pytest.raises(DamagedData, match="passed"):
        parse_smartctl('{"smart_status": {"passed": "yes"}}')
    lan = "Set in Progress : Set Complete\nIP Address Source       : DHCP\nIP Address              : {}\n"
    assert parse_ipmi_lan(lan.format("10.1.2.3")) == "10.1.2.3"
    assert parse_ipmi_lan(lan.format("0.0.0.0")) == ""
    assert parse_ipmi_lan("") == ""


def test_cpu_and_memory() -> None:
    cpu = parse_cpuinfo(
        "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu svm\n\nprocessor\t: 1\nflags\t: fpu svm\n"
    )
    assert (cpu.model, cpu.count, cpu.virtualisation) == ("A CPU", 2, "svm")
    assert parse_cpuinfo("").virtualisation == ""
    assert parse_meminfo("MemTotal:        4014208 kB\nMemFree: 1 kB\n") == 4014208 * 1024
    with pytest.raises(DamagedData, match="MemTotal"):
        parse_meminfo("MemFree: 1 kB\n")


def test_os_release_quotes_and_damage() -> None:
    text = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n# c\n\nNAME=Debian\n'
    found = parse_os_release(text)
    assert (found.id, found.name, found.version) == ("debian", "Debian GNU/Linux 12 (bookworm)", "12")
    for bad in ("ID debian", 'NAME="x', "NAME=a b"):
        with pytest.raises(DamagedData, match="line 2"):
            parse_os_release(f"ID=x\n{bad}\n")


def test_versions_of_installed_packages_only() -> None:
    status = (
        "Package: grub-pc\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        "Package: grub-common\nStatus: install ok installed\nVersion: 2.06-13+deb12u2\nDescription: x\n y\n"
    )
    assert installed_version(status, ("grub-pc", "grub-common")) == "2.06-13+deb12u2"
    assert installed_version(status, ("grub",)) == ""


def test_kernels_pair_with_their_initrd_newest_first() -> None:
    names = (
        "config-6.1.0-9-amd64",
        "initrd.img-6.1.0-28-amd64",
        "vmlinuz-6.1.0-28-amd64",
        "vmlinuz-6.1.0-9-amd64",
        "vmlinuz-6.1.0-9-amd64.old",
        "initramfs-5.14.0.el9.img",
        "vmlinuz-5.14.0.el9",
        "grub",
    )
    assert [(k.version, k.initrd) for k in kernels(names)] == [
        ("6.1.0-28-amd64", "initrd.img-6.1.0-28-amd64"),
        ("6.1.0-9-amd64", ""),
        ("5.14.0.el9", "initramfs-5.14.0.el9.img"),
    ]


FULLREPORT = """{"report": [{"vg": [{"vg_name":"vg0", "vg_uuid":"u", "vg_extent_size":"4194304",
 "vg_extent_count":1375, "vg_free_count":470, "vg_seqno":9, "vg_missing_pv_count":0}],
 "pv": [{"pv_name":"/dev/vda4", "pv_uuid":"p", "pv_size":"5767168000", "pv_missing":0},
 {"pv_name":"[unknown]", "pv_uuid":"q", "pv_size":"4194304", "pv_missing":1}],
 "lv": [{"lv_name":"root"}], "pvseg": [], "seg": [{"segtype":"thin"}]}], "log": []}"""


def test_lvm_report_keeps_present_volumes_only() -> None:
    (group,) = parse_fullreport(FULLREPORT)
    assert (group.name, group.extent_size, group.free_count) == ("vg0", 4194304, 470)
    assert [pv.path for pv in group.pvs] == ["/dev/vda4"]
    for old, new in (('"4194304",\n', '"4m",\n'), (":470", ':"x"'), ('"vg_seqno":9', '"x":9'), ("470", "-1")):
        assert old in FULLREPORT
        with pytest.raises(DamagedData, match="LVM's report"):
            parse_fullreport(FULLREPORT.replace(old, new, 1))


HOSTILE = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from(
            [
                "BootOrder: ",
                "Boot0001* ",
                "0001",
                "\t",
                "HD(1,GPT,",
                "DEVNAME=",
                "TYPE=",
                "=",
                "\n",
                "'",
                '"',
                "0 1 thin ",
                "thin-pool",
                "9" * 40,
                "MD_DEVICES=",
                "MD_UUID=",
                "Package: ",
                "{",
                "[",
                "}",
                "]",
                ":",
                "null",
                "\\",
                "vmlinuz-",
            ]
        ),
        max_size=40,
    ).map("".join),
)


@given(HOSTILE)
@settings(max_examples=300, deadline=None)
def test_hostile_text_is_refused_or_read_never_a_traceback(text: str) -> None:
    for parser in (
        parse_efibootmgr,
        parse_blkid,
        parse_examine,
        parse_smartctl,
        parse_os_release,
        parse_meminfo,
        parse_fullreport,
    ):
        try:
            parser(text)
        except DamagedData as error:
            assert str(error)
    parse_cpuinfo(text)
    parse_ipmi_lan(text)
    pool_usage(text)
    thin_percent(text)
    installed_version(text, ("grub-pc",))
    kernels(tuple(text.split("\n")))
