"""A loader found by its files: what its menu offers, what it starts, and which kernels there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import DamagedData
from appliance.model.machine import Kernel, LoaderKind
from appliance.probe.loaders import Found, find_loader
from appliance.probe.tree import Tree
from tests.crash.tinyimage import unified

MACHINE = "1f2e3d4c5b6a79880011223344556677"
BLSCFG = """set default="${saved_entry}"
if [ -z "${kernelopts}" ]; then
  set kernelopts="root=/dev/mapper/rhel-root ro rd.lvm.lv=rhel/root "
fi
insmod blscfg
blscfg
menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
	fwsetup
}
if [ -f ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
fi
"""
NEW, OLD, RESCUE = (f"{MACHINE}-{v}" for v in ("5.14.0-570.el9.x86_64", "5.14.0-427.el9.x86_64", "0-rescue"))


def fill(folder: Path, files: dict[str, str]) -> Tree:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Tree(folder)


def bls_entry(name: str) -> str:
    version = name.removeprefix(f"{MACHINE}-")
    return (
        f"title Red Hat Enterprise Linux ({version}) 9.6 (Plow)\nversion {version}\n"
        f"linux /vmlinuz-{version}\n"
        f"initrd /initramfs-{version}.img $tuned_initrd\noptions $kernelopts $tuned_params\n"
    )


BLS = {f"loader/entries/{name}.conf": bls_entry(name) for name in (NEW, OLD, RESCUE)}


def grub(boot: Tree, esp: Tree | None = None) -> Found:
    return find_loader(boot, "", "", "", esp, "")


def test_bls_entries_are_the_menu_and_the_newest_is_started(tmp_path: Path) -> None:
    found = grub(fill(tmp_path / "boot", {"grub2/grub.cfg": BLSCFG, **BLS}))
    loader = found.loader
    assert (loader.kind, loader.bls, loader.folder) == (LoaderKind.GRUB, True, "grub2")
    assert [e.id for e in loader.entries] == [NEW, OLD, RESCUE, "uefi-firmware"]
    assert [e.id for e in loader.entries if e.default] == [NEW]
    assert found.kernel == "/vmlinuz-5.14.0-570.el9.x86_64"
    assert found.arguments == "root=/dev/mapper/rhel-root ro rd.lvm.lv=rhel/root"


@pytest.mark.parametrize("saved", [OLD, f"Red Hat Enterprise Linux ({OLD[33:]}) 9.6 (Plow)", "1"])
def test_grubenv_names_the_entry_and_the_command_line(tmp_path: Path, saved: str) -> None:
    env = f"# GRUB Environment Block\nsaved_entry={saved}\nkernelopts=root=UUID=1 ro\n"
    env += "tuned_params=nohz=off\n###"
    found = grub(fill(tmp_path / "boot", {"grub2/grub.cfg": BLSCFG, "grub2/grubenv": env, **BLS}))
    assert [e.id for e in found.loader.entries if e.default] == [OLD]
    assert found.arguments == "root=UUID=1 ro nohz=off"


def test_rhel_8_keeps_its_grub_cfg_on_the_esp(tmp_path: Path) -> None:
    boot = fill(tmp_path / "boot", BLS)
    env = f"# GRUB Environment Block\nsaved_entry={OLD}\n"
    stub = "search --fs-uuid --set=dev 1\nset prefix=($dev)/grub2\nconfigfile $prefix/grub.cfg\n"
    esp = fill(
        tmp_path / "esp",
        {
            "EFI/fedora/grub.cfg": stub,
            "EFI/redhat/grub.cfg": BLSCFG,
            "EFI/redhat/grubenv": env,
        },
    )
    found = grub(boot, esp)
    assert (found.loader.kind, found.loader.bls) == (LoaderKind.GRUB, True)
    assert [e.id for e in found.loader.entries if e.default] == [OLD]


def test_bls_files_of_a_grub_that_does_not_read_them_are_no_entries(tmp_path: Path) -> None:
    text = BLSCFG.replace("\nblscfg\n", "\n# blscfg\n")
    found = grub(fill(tmp_path / "boot", {"grub2/grub.cfg": text, **BLS}))
    assert not found.loader.bls
    assert [e.id for e in found.loader.entries] == ["uefi-firmware"]


def sd(version: str, more: str = "") -> str:
    place = f"/{MACHINE}/{version}"
    return (
        f"title Debian GNU/Linux 13 (trixie)\nversion {version}\nmachine-id {MACHINE}\nsort-key debian\n"
        f"options root=UUID=1 ro\nlinux {place}/linux\ninitrd {place}/initrd.img-{version}\n{more}"
    )


SD = {
    "loader/loader.conf": "timeout 3\n",
    f"loader/entries/{MACHINE}-6.12.9-amd64.conf": sd("6.12.9-amd64"),
    f"loader/entries/{MACHINE}-6.12.30-amd64+2-1.conf": sd("6.12.30-amd64"),
}


def test_systemd_boot_entries_name_kernels_by_their_counters_and_versions(tmp_path: Path) -> None:
    esp = fill(tmp_path / "esp", SD)
    found = find_loader(Tree(tmp_path / "none"), "/boot", "/boot", "", esp, "")
    new, old = "6.12.30-amd64", "6.12.9-amd64"
    assert found.loader.kind is LoaderKind.SYSTEMD_BOOT
    assert [(e.id, e.default) for e in found.loader.entries] == [
        (f"{MACHINE}-{new}.conf", True),
        (f"{MACHINE}-{old}.conf", False),
    ]
    assert [k.version for k in found.kernels] == [new, old]
    assert found.kernels[0] == Kernel(
        version=new, vmlinuz=f"{MACHINE}/{new}/linux", initrd=f"{MACHINE}/{new}/initrd.img-{new}"
    )
    assert (found.kernel, found.arguments) == (f"/{MACHINE}/{new}/linux", "root=UUID=1 ro")


def test_systemd_boot_passes_over_an_entry_that_failed_three_times(tmp_path: Path) -> None:
    spent = {name.replace("+2-1", "+0-3"): text for name, text in SD.items()}
    found = find_loader(Tree(tmp_path / "none"), "/boot", "/boot", "", fill(tmp_path / "esp", spent), "")
    assert [e.id for e in found.loader.entries if e.default] == [f"{MACHINE}-6.12.9-amd64.conf"]


def test_unified_images_are_entries_and_kernels_by_their_names(tmp_path: Path) -> None:
    files = {
        "loader/loader.conf": "default fedora-*\n",
        "EFI/Linux/fedora-6.11.4+3.efi": "MZ",
        "EFI/Linux/README": "",
    }
    found = find_loader(Tree(tmp_path / "none"), "/boot", "/boot", "", fill(tmp_path / "esp", files), "")
    (entry,) = found.loader.entries
    assert (entry.title, entry.default) == ("fedora-6.11.4", True)
    path = "EFI/Linux/fedora-6.11.4+3.efi"
    assert found.kernels == (Kernel(version="fedora-6.11.4", vmlinuz=path, initrd=path),)


def test_a_unified_image_says_itself_what_it_starts(tmp_path: Path) -> None:
    esp = fill(tmp_path / "esp", {"loader/loader.conf": "", "EFI/Linux/x": ""})
    for version in ("6.12.9-amd64", "6.12.30-amd64"):
        data = unified(b"kernel", b"initrd", "root=UUID=1  ro\n", version)
        (tmp_path / f"esp/EFI/Linux/{MACHINE}-{version}.efi").write_bytes(data)
    found = find_loader(Tree(tmp_path / "none"), "/boot", "/boot", "", esp, "")
    new = f"EFI/Linux/{MACHINE}-6.12.30-amd64.efi"
    assert found.loader.unified and found.loader.name == "systemd-boot with UKI"
    first, _ = found.loader.entries
    assert (first.id, first.title) == (f"{MACHINE}-6.12.30-amd64.efi", "Debian GNU/Linux 13 (trixie)")
    assert first.default
    assert (found.kernel, found.arguments) == (f"/{new}", "root=UUID=1 ro")
    assert found.kernels[0] == Kernel(version="6.12.30-amd64", vmlinuz=new, initrd=new)


def test_entries_of_an_extended_boot_partition_count_as_well(tmp_path: Path) -> None:
    boot = fill(tmp_path / "boot", {k: v for k, v in SD.items() if k != "loader/loader.conf"})
    esp = fill(tmp_path / "esp", {"loader/loader.conf": "default *-6.12.9-*\n"})
    found = find_loader(boot, "", "", "", esp, "")
    assert len(found.loader.entries) == 2
    assert [e.id for e in found.loader.entries if e.default] == [f"{MACHINE}-6.12.9-amd64.conf"]


def test_an_entry_too_large_to_be_one_is_said(tmp_path: Path) -> None:
    files = {"loader/loader.conf": "", "loader/entries/a.conf": "#" * 70000}
    with pytest.raises(DamagedData, match=r"a\.conf is larger than 65536 bytes"):
        find_loader(Tree(tmp_path / "none"), "/boot", "", "", fill(tmp_path / "esp", files), "")


def test_an_entry_that_leads_out_of_the_file_system_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.conf").write_text("linux /k\n")
    esp = fill(tmp_path / "esp", {"loader/loader.conf": ""})
    (tmp_path / "esp/loader/entries").mkdir()
    (tmp_path / "esp/loader/entries/a.conf").symlink_to(tmp_path / "secret.conf")
    assert find_loader(Tree(tmp_path / "none"), "/boot", "", "", esp, "").loader.entries == ()
