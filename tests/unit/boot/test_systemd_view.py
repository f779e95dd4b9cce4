"""What stands against a promotion by systemd-boot, and what its view says beside the loader's own rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot import efivars
from appliance.boot.efivars import EfiVariables, RecordingVariables, encode
from appliance.boot.flip import turn
from appliance.boot.place import Boot, NoVariables
from appliance.boot.shapes import BootState
from appliance.boot.systemd_boot import SystemdBoot
from appliance.errors import BootConfigFailed, Refused
from appliance.probe.efi import LOADER_GUID, loader_text
from tests.crash.grubmachine import OLD
from tests.crash.lab import NEW, NEW_ROOT, OLD_ROOT, wanted
from tests.crash.modeldisk import ModelDisk, Place
from tests.crash.sdmachine import (
    ID,
    LOADER,
    OLDER,
    boot_on,
    boots,
    conf_of,
    image_of,
    installed,
    place_of,
)

ONLY = f"default {ID}-{OLD}.conf\n".encode()
OWN = f"loader/entries/{ID}-{OLD}.conf"


def changed(**files: bytes | None) -> Place:
    """The installed ESP with some files written or (None) removed; a name is a path with / as __."""
    first = installed()
    there = {p: first.read(p) or b"" for p, inode in first.names.items() if inode in first.inodes}
    for name, data in files.items():
        path = {"own": OWN, "conf": "loader/loader.conf", "binary": "EFI/systemd/systemd-bootx64.efi"}.get(
            name, name.replace("__", "/")
        )
        if data is None:
            del there[path]
        else:
            there[path] = data
    return place_of(there)


def test_a_debian_12_is_taken(tmp_path: Path) -> None:
    boot, _ = boot_on(installed())
    assert LOADER.why_not(boot, wanted(tmp_path / "new")) == ()
    view = LOADER.view(boot)
    assert view.state is BootState.ABSENT and view.own == view.next_boot
    assert view.own is not None and view.own.kernel == f"{ID}/{OLD}/linux" and view.own.root == OLD_ROOT
    assert [entry.kernel for entry in view.menu] == [f"{ID}/{OLD}/linux", f"{ID}/{OLDER}/linux"] or len(
        view.menu
    ) == 2


@pytest.mark.parametrize(
    ("place", "variables", "why"),
    [
        (changed(binary=b"MZ GRUB"), {}, "is not systemd-boot"),
        (changed(conf=b"default @saved\n"), {}, "default @saved"),
        (changed(conf=b"timeout menu-force\n"), {}, "menu-force"),
        (installed(), {efivars.DEFAULT: "other.conf"}, "LoaderEntryDefault names other.conf"),
        (changed(EFI__Linux__debian=b"x"), {}, ""),
        (changed(own=conf_of(OLD, "UUID=aa-bb")), {}, "names the root as UUID=aa-bb"),
        (
            changed(conf=ONLY, own=b"title x\nefi /shell.efi\n", **{"shell.efi": b"MZ"}),
            {},
            "starts no Linux kernel",
        ),
        (changed(conf=b"default twinboot-*\n"), {}, "An entry of ours would be started by default"),
        (changed(conf=ONLY), {}, f"would not start kernel {NEW} by default"),
    ],
)
def test_what_is_refused(tmp_path: Path, place: Place, variables: dict[str, str], why: str) -> None:
    boot, disk = boot_on(place, variables)
    reasons = LOADER.why_not(boot, wanted(tmp_path / "new"))
    assert why in " ".join(reasons) and bool(reasons) == bool(why)
    if why:
        with pytest.raises(Refused):
            LOADER.stage(boot, wanted(tmp_path / "new"))
    assert len(disk.moments) == 1 or not why, "something was written"


def test_a_counted_default_and_unified_kernels_beside_it_are_refused() -> None:
    first = changed()
    files = {p: first.read(p) or b"" for p, inode in first.names.items() if inode in first.inodes}
    files[f"loader/entries/{ID}-{OLD}+2-1.conf"] = files.pop(OWN)
    boot, _ = boot_on(place_of(files))
    assert "still counts its boots" in " ".join(LOADER.why_not(boot))
    files["EFI/Linux/debian-6.1.efi"] = image_of("6.1", OLD_ROOT)
    boot, _ = boot_on(place_of(files))
    assert "unified kernel images" in " ".join(LOADER.why_not(boot))


def test_an_entry_that_kernel_install_did_not_make_is_refused() -> None:
    boot, _ = boot_on(
        changed(conf=b"default by-hand.conf\n", **{"loader__entries__by-hand.conf": conf_of(OLD, OLD_ROOT)})
    )
    assert "none that kernel-install made" in " ".join(LOADER.why_not(boot))


def test_without_uefi_everything_is_refused(tmp_path: Path) -> None:
    boot, _ = boot_on(installed())
    bare = Boot(boot.place, boot.disk, boot.raw, NoVariables())
    assert "did not start by UEFI" in LOADER.why_not(bare)[0]
    assert "did not start by UEFI" in EfiVariables(tmp_path / "none").why_not()[0]


def test_a_full_esp_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boot, _ = boot_on(installed())
    monkeypatch.setattr(ModelDisk, "free", lambda self: 8 << 20)
    assert "MiB free" in LOADER.why_not(boot, wanted(tmp_path / "new"))[0]


def test_a_damaged_book_refuses_and_names_no_run() -> None:
    boot, _ = boot_on(changed(twinboot__env=b"\0" * 1024))
    view = LOADER.view(boot)
    assert (view.state, view.run) == (BootState.DAMAGED, "")
    assert "twinboot/env is damaged" in " ".join(LOADER.why_not(boot))


def test_the_fallback_path_may_hold_systemd_boot() -> None:
    first = installed()
    files = {p: first.read(p) or b"" for p, inode in first.names.items() if inode in first.inodes}
    files["EFI/BOOT/BOOTX64.EFI"] = files.pop("EFI/systemd/systemd-bootx64.efi")
    boot, _ = boot_on(place_of(files))
    assert SystemdBoot("\\EFI\\BOOT\\BOOTX64.EFI").why_not(boot) == ()


def test_a_variable_is_whole_read_back_and_removed(tmp_path: Path) -> None:
    variables = EfiVariables(tmp_path)
    assert variables.read(efivars.ONE_SHOT) is None
    variables.write(efivars.ONE_SHOT, "twinboot-new-tb1.conf")
    file = tmp_path / f"LoaderEntryOneShot-{LOADER_GUID}"
    assert file.read_bytes() == b"\7\0\0\0" + "twinboot-new-tb1.conf".encode("utf-16-le") + b"\0\0"
    assert variables.read(efivars.ONE_SHOT) == "twinboot-new-tb1.conf" and variables.why_not() == ()
    variables.remove(efivars.ONE_SHOT)
    variables.remove(efivars.ONE_SHOT)
    assert not file.exists()
    file.write_bytes(b"\7\0\0\0\xd8")
    assert variables.read(efivars.ONE_SHOT) != ""
    with pytest.raises(BootConfigFailed, match="no name of a boot entry"):
        encode("a b\0")
    assert loader_text("x.conf\0junk".encode("utf-16-le")) == "x.conf"


def test_a_dry_run_tells_and_writes_nothing(tmp_path: Path) -> None:
    dry = RecordingVariables(EfiVariables(tmp_path))
    dry.write(efivars.DEFAULT, "a.conf")
    dry.remove(efivars.ONE_SHOT)
    assert dry.would == [
        "set the boot variable LoaderEntryDefault to a.conf",
        "remove the boot variable LoaderEntryOneShot",
    ] and not list(tmp_path.iterdir())


def test_what_says_so_already_is_not_written_again() -> None:
    boot, disk = boot_on(installed(), {efivars.DEFAULT: "a.conf"})
    turn(boot, efivars.DEFAULT, "a.conf")
    turn(boot, efivars.ONE_SHOT, None)
    assert len(disk.moments) == 1


@pytest.mark.parametrize(
    "conf", [b"", b"default *\n", b"default 7f*\n", f"default {ID}-{OLDER}.conf".encode()]
)
def test_the_view_takes_the_entry_that_the_loader_s_own_rules_take(conf: bytes) -> None:
    """Reader and rules were written apart from each other."""
    boot, disk = boot_on(installed(conf))
    view = LOADER.view(boot)
    assert view.next_boot is not None
    assert boots(disk)[0] == ("older" if OLDER in view.next_boot.kernel else "old")
    assert NEW_ROOT not in view.next_boot.options
