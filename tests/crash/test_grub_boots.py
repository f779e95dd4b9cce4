"""What is staged and armed, started by SeaBIOS and GRUB themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.boot import env
from appliance.boot.place import SECTOR_PATH
from appliance.boot.shapes import BootState
from appliance.errors import Refused
from tests.crash.grubmachine import OLD, Started, start
from tests.crash.lab import LOADER, NEW, NEW_ROOT, OLD_ROOT, opened, wanted

pytestmark = pytest.mark.root


def is_old(started: Started) -> bool:
    own = started.kernel == f"kernel {OLD}" and started.initrd == f"initrd {OLD}"
    return own and started.root == OLD_ROOT and "twinboot.trial" not in started.line


def is_trial(started: Started) -> bool:
    own = started.kernel == f"kernel {NEW}" and started.initrd == f"initrd {NEW}"
    words = started.line.split()
    return own and started.root == NEW_ROOT and {"panic=30", "noresume", "twinboot.trial=tb1"} <= set(words)


def is_previous(started: Started) -> bool:
    return is_old(started) and "/twinboot/tb1/old/" in started.line


def armed(disk: Path, work: Path) -> None:
    with opened(disk, work) as boot:
        LOADER.stage(boot, wanted(work / "new"))
        LOADER.arm(boot, "tb1")


def set_state(disk: Path, work: Path, state: BootState) -> None:
    with opened(disk, work) as boot:
        boot.disk.write_sector(SECTOR_PATH, env.block(state, "tb1")[: env.SECTOR])
        boot.disk.settle()


def test_staged_changes_nothing_about_the_next_boot(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        LOADER.stage(boot, wanted(tmp_path / "new"))
        view = LOADER.view(boot)
    assert view.state is BootState.STAGED and view.next_boot == view.own
    started = start(disk)
    assert is_old(started) and "twinboot" not in started.line


def test_armed_boots_the_trial_once_then_the_previous_system_for_good(disk: Path, tmp_path: Path) -> None:
    armed(disk, tmp_path)
    assert is_trial(start(disk))
    with opened(disk, tmp_path) as boot:
        view = LOADER.view(boot)
        assert (view.state, view.once) == (BootState.TRIAL, False)
        assert view.next_boot is not None and view.next_boot.id == "twinboot-previous"
        values = env.decode(boot.raw.read(SECTOR_PATH) or b"")
        assert values["tb_pending"] == "1" and values["tb_esp"] == "7A11-0C3D"
        assert values["tb_loader"] == "/EFI/debian/grubx64.efi"
    assert is_previous(start(disk))
    assert is_previous(start(disk))


def test_kept_boots_what_grub_cfg_says(disk: Path, tmp_path: Path) -> None:
    armed(disk, tmp_path)
    assert is_trial(start(disk))
    set_state(disk, tmp_path, BootState.KEPT)
    started = start(disk)
    assert is_old(started) and "twinboot" not in started.line  # grub.cfg is still the old system's here


def test_a_disk_that_refuses_writes_boots_the_old_system(disk: Path, tmp_path: Path) -> None:
    armed(disk, tmp_path)
    assert is_previous(start(disk, readonly=True))
    assert is_trial(start(disk))  # nothing was consumed


@pytest.mark.parametrize(
    "damage", [b"\0" * 512, b"# GRUB Environment", b"", b"\xff" * 1024, b"tb_state=armed\n" * 40]
)
def test_a_damaged_env_block_boots_the_old_system(disk: Path, tmp_path: Path, damage: bytes) -> None:
    armed(disk, tmp_path)
    with opened(disk, tmp_path) as boot:
        (boot.place.boot / SECTOR_PATH).write_bytes(damage)
    assert is_old(start(disk))


@pytest.mark.parametrize("name", ["grub/custom.cfg", "twinboot/env", "twinboot/tb1/entries.cfg"])
def test_a_lost_file_of_ours_boots_the_old_system(disk: Path, tmp_path: Path, name: str) -> None:
    armed(disk, tmp_path)
    with opened(disk, tmp_path) as boot:
        (boot.place.boot / name).unlink()
    assert is_old(start(disk))


@pytest.mark.parametrize("name", [f"vmlinuz-{NEW}", f"initrd.img-{NEW}"])
@pytest.mark.parametrize("harm", ["gone", "empty"])
def test_a_trial_without_its_files_is_not_tried(disk: Path, tmp_path: Path, name: str, harm: str) -> None:
    armed(disk, tmp_path)
    with opened(disk, tmp_path) as boot:
        file = boot.place.boot / "twinboot/tb1/files" / name
        file.unlink() if harm == "gone" else file.write_bytes(b"")
    assert is_previous(start(disk))


def test_a_trial_kernel_grub_cannot_load_falls_back_in_the_same_boot(disk: Path, tmp_path: Path) -> None:
    armed(disk, tmp_path)
    with opened(disk, tmp_path) as boot:
        (boot.place.boot / f"twinboot/tb1/files/vmlinuz-{NEW}").write_bytes(b"no kernel at all" * 100)
    assert is_previous(start(disk))
    assert is_previous(start(disk))


def test_previous_boots_after_the_old_kernel_is_removed(disk: Path, tmp_path: Path) -> None:
    armed(disk, tmp_path)
    assert is_trial(start(disk))
    with opened(disk, tmp_path) as boot:
        for name in (f"vmlinuz-{OLD}", f"initrd.img-{OLD}"):
            (boot.place.boot / name).unlink()
    assert is_previous(start(disk))


def test_roll_back_and_disarm_and_restore(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        first = {p: boot.disk.read(p) for p in ("grub/grub.cfg", "grub/grubenv", f"vmlinuz-{OLD}")}
        names = boot.disk.names("")
    armed(disk, tmp_path)
    with opened(disk, tmp_path) as boot:
        LOADER.disarm(boot, "tb1")
        LOADER.disarm(boot, "tb1")
        assert LOADER.view(boot).state is BootState.STAGED
    assert is_old(start(disk))
    with opened(disk, tmp_path) as boot:
        LOADER.arm(boot, "tb1")
        LOADER.roll_back(boot, "tb1")
        assert LOADER.view(boot).state is BootState.ROLLED_BACK
    assert is_previous(start(disk))
    with opened(disk, tmp_path) as boot:
        LOADER.restore(boot, "tb1")
        LOADER.restore(boot, "tb1")
        assert LOADER.view(boot).state is BootState.ABSENT
        assert {p: boot.disk.read(p) for p in first} == first and boot.disk.names("") == names
        assert boot.disk.read("grub/custom.cfg") is None
    started = start(disk)
    assert is_old(started) and "twinboot" not in started.line


def test_a_grub_that_waits_for_ever_does_not_when_a_trial_is_pending(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        config = boot.place.boot / "grub/grub.cfg"
        config.write_text(config.read_text().replace("set timeout=0", "set timeout=-1"))
    armed(disk, tmp_path)
    assert is_trial(start(disk))
    assert is_previous(start(disk))


def test_refusals_write_nothing(disk: Path, tmp_path: Path) -> None:
    with opened(disk, tmp_path) as boot:
        (boot.place.boot / "grub/custom.cfg").write_text("menuentry mine {\n}\n")
        config = boot.place.boot / "grub/grub.cfg"
        config.write_text(config.read_text().partition("### BEGIN /etc/grub.d/41_custom")[0])
        boot.disk.settle()
        before = boot.disk.names("")
        with pytest.raises(Refused) as refused:
            LOADER.stage(boot, wanted(tmp_path / "new"))
        assert len(refused.value.reasons) == 2
        assert all(reason.endswith((".", "first.")) for reason in refused.value.reasons)
        assert boot.disk.names("") == before
