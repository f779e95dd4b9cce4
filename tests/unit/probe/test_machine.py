"""The whole probe on a recorded machine: what it finds, what it refuses, and that nothing of it stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.errors import ApplianceError, DamagedData, ProbeFailed
from appliance.host.lock import locked
from appliance.model.codec import from_json
from appliance.model.machine import InstalledSystem, Machine
from appliance.probe import hardware
from appliance.probe.machine import probe
from tests.unit.probe.recorded import RecordedMachine, ext_head, swap_head

MACHINES = Path(__file__).parents[2] / "fixtures/machines"
ROOT, SWAP, BOOT = 6, 8, 1


def play(name: str, root: Path) -> RecordedMachine:
    heads = {BOOT: ext_head(), ROOT: ext_head(), ROOT + 1: ext_head(), SWAP: swap_head()}
    return RecordedMachine(name, root, heads=heads)


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedMachine:
    """The BIOS lab machine; KVM answers, as it did when it was recorded."""
    monkeypatch.setattr(hardware, "kvm_answers", lambda _: True)
    return play("thin-bios", tmp_path)


@pytest.fixture
def recorded_uefi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordedMachine:
    monkeypatch.setattr(hardware, "kvm_answers", lambda _: True)
    return play("thin-uefi", tmp_path)


def look(machine: RecordedMachine) -> Machine:
    """Probe, and see that nothing of the probe is left."""
    found = probe(machine, machine.root)
    assert machine.left() == []
    return found


def only(machine: Machine) -> InstalledSystem:
    (system,) = machine.systems
    return system


def codes(machine: RecordedMachine, *, refusing: bool = True) -> list[str]:
    found = look(machine)
    trouble = (*found.trouble, *(t for s in found.systems for t in s.trouble))
    assert all(
        (t.sentence.endswith(".") and t.sentence[0].isupper()) or t.sentence[0] in "/" for t in trouble
    )
    return [t.code for t in trouble if t.refuses is refusing]


def edit(machine: RecordedMachine, path: str, old: str, new: str) -> None:
    file = machine.trees / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def edit_answer(machine: RecordedMachine, key: str, old: str, new: str) -> None:
    text = machine.answers.get(key, machine.outputs[key])
    assert old in text
    machine.answers[key] = text.replace(old, new)


@pytest.mark.parametrize("name", ["thin-bios", "thin-uefi"])
def test_the_recorded_machine_is_what_the_booted_image_said(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "kvm_answers", lambda _: True)
    wanted: Machine = from_json((MACHINES / f"{name}.json").read_bytes(), Machine, name)
    assert look(play(name, tmp_path)) == wanted


def test_the_loader_of_an_esp_without_a_boot_entry(recorded_uefi: RecordedMachine) -> None:
    assert only(look(recorded_uefi)).loader.efi_path == "\\EFI\\debian\\shimx64.efi"
    edit_answer(recorded_uefi, "efibootmgr", "HD(2,GPT,", "HD(2,MBR,")
    files = recorded_uefi.trees / "twinboot-probe-0/EFI"
    assert only(look(recorded_uefi)).loader.efi_path == ""
    for name in ("BOOT/BOOTX64.EFI", "Debian/grubx64.efi", "Debian/shimx64.efi"):
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).touch()
    assert only(look(recorded_uefi)).loader.efi_path == "\\EFI\\Debian\\shimx64.efi"
    (files / "Debian/shimx64.efi").unlink()
    assert only(look(recorded_uefi)).loader.efi_path == "\\EFI\\Debian\\grubx64.efi"
    (files / "Debian/grubx64.efi").unlink()
    assert only(look(recorded_uefi)).loader.efi_path == "\\EFI\\BOOT\\BOOTX64.EFI"


def test_uefi_without_an_esp_refuses(recorded_uefi: RecordedMachine) -> None:
    edit_answer(
        recorded_uefi, "lsblk", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "0fc63daf-8483-4772-8e79-3d69d8477de4"
    )
    assert codes(recorded_uefi) == []
    edit(recorded_uefi, f"twinboot-probe-{ROOT}/etc/fstab", "/boot/efi", "/boot/efi-old")
    assert codes(recorded_uefi) == ["no-esp"]


def test_uefi_without_variables_is_no_error(recorded_uefi: RecordedMachine) -> None:
    recorded_uefi.fails.add("efibootmgr")
    assert look(recorded_uefi).boot_order.entries == ()


def test_every_device_below_the_pools_own_layer_is_read_only(recorded: RecordedMachine) -> None:
    look(recorded)
    (create,) = (line for line in recorded.ran if line.startswith("dmsetup create"))
    devices = [d.split(",") for d in create.split("'")[1].split(";")]
    writable = {d[4].split()[2] for d in devices if d[3] == "rw"}
    assert writable == {"snapshot", "thin-pool"}
    assert all(d[3] == "ro" for d in devices if "/dev/vda" in d[4])
    (pool,) = (d[4] for d in devices if " thin-pool " in d[4])
    assert "read_only" in pool.split()


def test_lvm_sees_the_machines_pv_and_nothing_else(recorded: RecordedMachine) -> None:
    look(recorded)
    for line in (line for line in recorded.ran if line.startswith("lvm ")):
        assert '"a|^/dev/vda4$|","r|.*|"' in line and "use_devicesfile=0" in line and "--readonly" in line


@pytest.mark.parametrize("step", ["lvm fullreport", "blkid", "dmsetup status", "lsblk", "lvm vgcfgbackup"])
def test_nothing_stays_when_a_step_fails(recorded: RecordedMachine, step: str) -> None:
    recorded.fails.add(step)
    with pytest.raises(ApplianceError):
        probe(recorded, recorded.root)
    assert recorded.left() == []


def test_nothing_stays_when_the_operator_interrupts(recorded: RecordedMachine) -> None:
    def interrupt(key: str) -> None:
        if key == "mount":
            raise KeyboardInterrupt

    recorded.on_run = interrupt
    with pytest.raises(KeyboardInterrupt):
        probe(recorded, recorded.root)
    assert recorded.left() == []


def test_what_a_killed_probe_left_is_removed_first(recorded: RecordedMachine) -> None:
    folder = recorded.root / "run/twinboot/probe"
    (folder / "twinboot-probe-6").mkdir(parents=True)
    recorded._create(("x", "twinboot-probe-6,,,ro,0 1 linear;twinboot-probe-11,,,ro,0 1 linear"))
    recorded._attach((f"{folder}/cow-old",))
    recorded._mount(("mount", "-t", "ext4", "-o", "ro,noload", "/dev/x", str(folder / "twinboot-probe-6")))
    look(recorded)
    removed = next(line for line in recorded.ran if line.startswith("dmsetup remove"))
    assert removed.endswith("twinboot-probe-11 twinboot-probe-6")


def test_one_probe_at_a_time(recorded: RecordedMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.probe.machine.LOCK_WAIT", 0.0)
    with (
        locked(recorded.root / "run/twinboot/probe.lock", "A test"),
        pytest.raises(ApplianceError, match="A test"),
    ):
        probe(recorded, recorded.root)


def test_hibernation_is_seen_by_its_signature_and_by_blkid(recorded: RecordedMachine) -> None:
    assert codes(recorded) == []
    recorded.heads[SWAP] = swap_head(b"S1SUSPEND")
    assert codes(recorded) == ["hibernated"]
    recorded.heads[SWAP] = swap_head()
    edit_answer(recorded, "blkid", "TYPE=swap", "TYPE=swsuspend")
    assert codes(recorded) == ["hibernated"]


def test_dirty_is_said_and_damaged_refuses(recorded: RecordedMachine) -> None:
    recorded.heads[ROOT] = ext_head(incompatible=4)
    assert (codes(recorded), codes(recorded, refusing=False)) == ([], ["dirty-fs"])
    recorded.heads[BOOT] = ext_head(state=3)
    assert codes(recorded) == ["damaged-fs"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("#", "/dev/mapper/vg0-srv /opt ext4 defaults 0 2\n#", "set-outside"),
        ("#", "/dev/vda2 / \n#", "fstab-damaged"),
    ],
)
def test_fstab_troubles(recorded: RecordedMachine, old: str, new: str, code: str) -> None:
    edit(recorded, f"twinboot-probe-{ROOT}/etc/fstab", old, new)
    assert code in codes(recorded)


def test_an_fstab_that_is_a_link_refuses_before_a_trial_would(recorded: RecordedMachine) -> None:
    etc = recorded.trees / f"twinboot-probe-{ROOT}/etc"
    (etc / "fstab").rename(etc / "fstab.site")
    (etc / "fstab").symlink_to("fstab.site")
    assert codes(recorded) == ["fstab-link"]


def test_a_missing_device_is_said_and_nofail_is_not(recorded: RecordedMachine) -> None:
    fstab = f"twinboot-probe-{ROOT}/etc/fstab"
    edit(recorded, fstab, "#", "UUID=0-1 /backup ext4 nofail 0 2\n/dev/sdz1 /old ext4 defaults 0 2\n#")
    found = [t for t in only(look(recorded)).trouble if t.code == "device-missing"]
    assert len(found) == 1 and "/dev/sdz1" in found[0].sentence and not found[0].refuses


def test_an_encrypted_data_volume_refuses(recorded: RecordedMachine) -> None:
    edit(recorded, f"twinboot-probe-{ROOT}/etc/fstab", "#", "/dev/mapper/vault /vault ext4 defaults 0 2\n#")
    (recorded.trees / f"twinboot-probe-{ROOT}/etc/crypttab").write_text("vault UUID=1 none luks\n")
    assert codes(recorded) == ["luks"]


def test_loader_troubles(recorded: RecordedMachine) -> None:
    grub = recorded.trees / f"twinboot-probe-{BOOT}/grub"
    (grub / "custom.cfg").write_text("menuentry x {\n}\n")
    assert codes(recorded) == ["foreign-custom-cfg"]
    (grub / "custom.cfg").write_text("# twinboot 1\n")
    assert codes(recorded) == [] and only(look(recorded)).loader.custom_cfg_ours
    edit(recorded, f"twinboot-probe-{BOOT}/grub/grub.cfg", "/custom.cfg", "/other.cfg")
    assert codes(recorded) == ["no-41-custom"]
    (grub / "grub.cfg").unlink()
    assert codes(recorded) == ["unknown-loader"]


def test_another_init_and_no_initrd_refuse(recorded: RecordedMachine) -> None:
    init = recorded.trees / f"twinboot-probe-{ROOT}/sbin/init"
    init.unlink()
    init.symlink_to("/usr/sbin/openrc-init")
    for initrd in (recorded.trees / f"twinboot-probe-{BOOT}").glob("initrd*"):
        initrd.unlink()
    assert codes(recorded) == ["not-systemd", "no-kernel"]


def test_sysvinit_is_refused_with_the_reason(recorded: RecordedMachine) -> None:
    init = recorded.trees / f"twinboot-probe-{ROOT}/sbin/init"
    init.unlink()
    init.write_bytes(b"\x7fELF")
    assert codes(recorded) == ["not-systemd"]
    (why,) = (t.sentence for t in only(look(recorded)).trouble if t.refuses)
    assert why == "The system's init is sysvinit, not systemd: its health could not be judged."


def test_other_package_managers_are_recognised_and_refused(recorded: RecordedMachine) -> None:
    root = recorded.trees / f"twinboot-probe-{ROOT}"
    (root / "var/lib/dpkg/status").unlink()
    (root / "etc/os-release").unlink()
    (root / "etc/os-release").write_text('ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.6"\n')
    assert codes(recorded) == ["other-packages"]
    assert only(look(recorded)).package_manager == "dnf"
    (root / "usr/bin").mkdir(exist_ok=True)
    (root / "usr/bin/zypper").touch()
    assert only(look(recorded)).package_manager == "zypper"


def test_bls_entries_are_shown(recorded: RecordedMachine) -> None:
    boot = recorded.trees / f"twinboot-probe-{BOOT}"
    (boot / "grub/grub.cfg").write_text("insmod blscfg\nblscfg\nsource ${config_directory}/custom.cfg\n")
    (boot / "loader/entries").mkdir(parents=True)
    (boot / "loader/entries/m-6.1.conf").write_text("title Six\nlinux /vmlinuz-6.1\noptions root=/dev/sdz\n")
    assert codes(recorded) == []
    system = only(look(recorded))
    assert system.loader.bls and system.loader.name == "GRUB with BLS entries"
    assert [(e.title, e.default) for e in system.loader.entries] == [("Six", True)]
    assert system.command_line == "root=/dev/sdz"


def test_an_esp_mounted_at_boot_is_looked_into_once(recorded_uefi: RecordedMachine) -> None:
    """As systemd-boot's own documentation recommends it: the kernels lie on the ESP."""
    fstab = f"twinboot-probe-{ROOT}/etc/fstab"
    edit(recorded_uefi, fstab, "UUID=6f2c8e1a-57b4-4a0e-9d53-1c7e0b2f4a61 /boot ", "#")
    edit(recorded_uefi, fstab, "/boot/efi       vfat", "/boot vfat")
    entries = recorded_uefi.trees / "twinboot-probe-0/loader/entries"
    entries.mkdir(parents=True)
    (entries / "m-6.1+3.conf").write_text("title Six\nversion 6.1\nlinux /m/6.1/linux\ninitrd /m/6.1/i\n")
    (entries.parent / "loader.conf").touch()
    assert codes(recorded_uefi) == []
    system = only(look(recorded_uefi))
    assert system.boot is not None and system.esp == system.boot
    assert [k.version for k in system.kernels] == ["6.1"]
    assert [e.id for e in system.loader.entries] == ["m-6.1.conf"]


def test_pool_troubles(recorded: RecordedMachine) -> None:
    status = recorded.outputs["dmsetup status"]
    (line,) = (row for row in status.splitlines() if " thin-pool " in row)
    fields = line.split()
    full = " ".join([*fields[:6], "44236/49152", *fields[7:]])
    recorded.answers["dmsetup status"] = status.replace(line, full)
    assert codes(recorded) == ["pool-data-full"]
    full = " ".join([*fields[:5], "3900/4096", *fields[6:]]).replace(" - 1024", " needs_check 1024")
    recorded.answers["dmsetup status"] = status.replace(line, full)
    assert codes(recorded) == ["pool-damaged", "pool-metadata-full"]
    recorded.answers["dmsetup status"] = status.replace(line, " ".join([*fields[:4], "99", *fields[5:]]))
    assert codes(recorded) == ["pool-disagrees"]


def test_no_room_for_the_state_volume(recorded: RecordedMachine) -> None:
    report = json.loads(recorded.outputs["lvm fullreport"])
    report["report"][0]["vg"][0]["vg_free_count"] = 15
    recorded.answers["lvm fullreport"] = json.dumps(report)
    assert codes(recorded) == ["no-state-room"]
    recorded.metadata = recorded.metadata.replace("\t\tsrv {", "\t\ttwinboot-state {")
    assert "no-state-room" not in codes(recorded)


def test_a_missing_pv_refuses(recorded: RecordedMachine) -> None:
    edit_answer(recorded, "lvm fullreport", '"vg_missing_pv_count":0', '"vg_missing_pv_count":1')
    assert codes(recorded) == ["missing-pv"]


def test_a_volume_the_kernel_refuses_is_named_and_the_rest_is_read(recorded: RecordedMachine) -> None:
    recorded.fails.add(f"create {ROOT + 1}")
    found = look(recorded)
    assert [t.code for t in found.trouble] == ["unreadable"] and "vg0/srv" in found.trouble[0].sentence
    assert only(found).hostname


def test_a_root_that_does_not_mount_is_named(recorded: RecordedMachine) -> None:
    recorded.fails.add(f"mount twinboot-probe-{ROOT}")
    found = look(recorded)
    assert found.systems == () and "vg0-root" in found.trouble[0].sentence


def test_a_boot_volume_that_does_not_mount_refuses(recorded: RecordedMachine) -> None:
    recorded.fails.add(f"mount twinboot-probe-{BOOT}")
    assert {"boot-unreadable", "unknown-loader"} <= set(codes(recorded))


def test_no_kvm_is_said_with_the_way_out(recorded: RecordedMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "kvm_answers", lambda _: False)
    found = look(recorded)
    assert [t.code for t in found.trouble] == ["no-kvm"] and "--emulate" in found.trouble[0].sentence


def test_junk_serial_falls_back_to_the_uuid_and_says_so(recorded: RecordedMachine) -> None:
    (recorded.root / "sys/class/dmi/id/product_serial").write_text("Default string\n")
    found = look(recorded)
    assert found.serial_is_junk and found.identity == found.uuid
    assert [(t.code, t.refuses) for t in found.trouble] == [("junk-serial", False)]


def test_a_copy_of_the_root_is_no_second_system(recorded: RecordedMachine) -> None:
    """srv made a snapshot of root, with the same file system: once without tags, once as a trial of ours."""
    recorded.metadata = recorded.metadata.replace("device_id = 2", 'device_id = 2\n\t\t\t\torigin = "root"')
    edit_answer(
        recorded, "blkid", "c4e1f7b0-6d28-4c93-b5a9-0f3e8d7a2b16", "2d9a6c37-0e5b-4f18-8a7c-93b1d4e6f052"
    )
    trees = recorded.trees
    (trees / f"twinboot-probe-{ROOT + 1}").symlink_to(trees / f"twinboot-probe-{ROOT}")
    assert only(look(recorded)).root.lv == "root"
    block = recorded.metadata.index("\t\tsrv {")
    at = recorded.metadata.index("flags = []", block)
    tags = 'flags = []\n\t\t\ttags = ["twinboot", "twinboot.role=trial"]'
    recorded.metadata = recorded.metadata[:at] + tags + recorded.metadata[at + len("flags = []") :]
    edit(
        recorded,
        f"twinboot-probe-{ROOT}/etc/fstab",
        "/dev/mapper/vg0-root",
        "UUID=2d9a6c37-0e5b-4f18-8a7c-93b1d4e6f052",
    )
    systems = look(recorded).systems
    assert [s.root.lv for s in systems] == ["root", "srv"]
    assert [t.code for t in systems[1].trouble] == ["boots-another"]


def test_volumes_of_rehearsals_are_not_looked_at(recorded: RecordedMachine) -> None:
    block = recorded.metadata.index("\t\tsrv {")
    at = recorded.metadata.index("flags = []", block)
    tags = 'flags = []\n\t\t\ttags = ["twinboot", "twinboot.role=work"]'
    recorded.metadata = recorded.metadata[:at] + tags + recorded.metadata[at + len("flags = []") :]
    look(recorded)
    (create,) = (line for line in recorded.ran if line.startswith("dmsetup create"))
    assert create.count(" thin ") == 1


def test_reports_that_do_not_read_are_errors_with_words(recorded: RecordedMachine) -> None:
    recorded.answers["lsblk"] = "{"
    with pytest.raises(DamagedData, match="lsblk"):
        look(recorded)
    del recorded.answers["lsblk"]
    recorded.metadata = recorded.metadata[:200]
    with pytest.raises(DamagedData, match="vg0"):
        look(recorded)
    recorded.fails.add("lvm fullreport")
    with pytest.raises(ProbeFailed, match="LVM"):
        look(recorded)


def test_a_failing_disk_and_a_strange_table_refuse(recorded: RecordedMachine) -> None:
    edit_answer(recorded, "lsblk", '"tran": "virtio"', '"tran": "sata"')
    edit_answer(recorded, "lsblk", '"pttype": "gpt"', '"pttype": "sun"')
    recorded.answers["smartctl"] = '{"smart_status": {"passed": false}}'
    assert codes(recorded) == ["failing-disk", "unknown-table"]
