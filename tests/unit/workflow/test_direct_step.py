"""A twin whose kernel is started without its loader: which files, told what, with which drivers added."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot.initrd import initrd_names
from appliance.boot.shapes import Entry
from appliance.errors import BootConfigFailed
from appliance.model.plan import StandIn
from appliance.twin.domain import Direct
from appliance.workflow.steps import direct
from appliance.workflow.steps.direct import started_directly
from appliance.workflow.steps.ground import Ground
from tests.unit.boot.test_artifacts import archive
from tests.unit.boot.test_extra_initrd import DEP, VERSION, Depmod, bzimage
from tests.unit.workflow import test_descent

ENTRY = Entry(
    id="gnulinux",
    title="Debian",
    kernel=f"vmlinuz-{VERSION}",
    initrds=(f"initrd.img-{VERSION}",),
    options="root=/dev/mapper/vg0-root ro quiet",
)


class Scene:
    """The twin, off: its /boot and its root are folders. `wrote` counts mounts of /boot for writing."""

    boot_device, esp_device, root_device = "/dev/twin-boot", "/dev/twin-esp", "/dev/twin-root"
    variables = None

    def __init__(self, ground: Ground, folder: Path) -> None:
        self.ground, self.folder = ground, folder / "twin"
        self.setup = self
        self.system, self.root_part = ground.system, ()
        self.boot, self.root = folder / "boot", folder / "root"
        self.host, self.entry, self.once, self.wrote = Depmod(), ENTRY, False, 0
        self.boot.mkdir(parents=True)
        bzimage(self.boot / ENTRY.kernel, VERSION.encode())
        (self.boot / ENTRY.initrds[0]).write_bytes(archive(folder / "initrd", ["init"]))
        modules = self.root / "usr/lib/modules" / VERSION
        modules.mkdir(parents=True)
        (modules / "modules.dep").write_text(DEP)
        for line in DEP.splitlines():
            (modules / line.partition(":")[0]).parent.mkdir(parents=True, exist_ok=True)
            (modules / line.partition(":")[0]).touch()

    def start(self) -> Direct:
        asked = started_directly(self.host, self.ground)
        assert asked is not None
        return asked(self)  # type: ignore[arg-type]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    plain = test_descent.ground(tmp_path)
    by = (StandIn(disk="/dev/vda", driver="mpt3sas", by="virtio_scsi"),)
    made = Scene(dataclasses.replace(plain, whole=replace(plain.whole, stand_ins=by, direct=True)), tmp_path)

    @contextlib.contextmanager
    def mounted(_host: object, device: str, _fstype: str, _at: Path, _more: object = ()) -> Iterator[Path]:
        yield {made.boot_device: made.boot, made.root_device: made.root}[device]

    @contextlib.contextmanager
    def written(_host: object, place: object) -> Iterator[None]:
        made.wrote += 1
        yield

    place = dataclasses.replace(
        made.ground.boot_place(), device=made.boot_device, mount=made.boot, sector=None, up=()
    )
    monkeypatch.setattr(direct, "place_in_twin", lambda ground, twin: place)
    monkeypatch.setattr(direct, "open_boot", lambda host, at, variables: at)
    monkeypatch.setattr(direct, "upcoming", lambda boot: (made.entry, made.once))
    monkeypatch.setattr(direct, "take", lambda boot: None)
    monkeypatch.setattr(direct, "mounted_for", written)
    monkeypatch.setattr(direct, "mounted_readonly", mounted)
    return made


def test_a_run_by_its_own_loader_asks_nothing(tmp_path: Path) -> None:
    assert started_directly(Depmod(), test_descent.ground(tmp_path)) is None


def test_the_kernel_the_loader_would_start_with_drivers_behind_its_initrd(scene: Scene) -> None:
    found = scene.start()
    assert found.line == "root=/dev/mapper/vg0-root ro quiet rdinit=/twinboot/init"
    assert Path(found.kernel).read_bytes() == (scene.boot / ENTRY.kernel).read_bytes()
    names = initrd_names(scene.host, Path(found.initrd))
    assert "init" in names and any(name.endswith("scsi/virtio_scsi.ko") for name in names)
    assert scene.wrote == 0, "its /boot is only read"
    assert Path(found.kernel).parent == Path(found.initrd).parent == scene.folder / "direct"


def test_an_armed_trial_is_taken_first(scene: Scene) -> None:
    scene.once = True
    scene.start()
    assert scene.wrote == 1


def test_each_start_takes_what_is_there_then(scene: Scene) -> None:
    scene.start()
    scene.entry = replace(ENTRY, options="root=/dev/mapper/vg0-root ro single")
    assert scene.start().line.startswith("root=/dev/mapper/vg0-root ro single ")


def test_an_entry_that_leads_nowhere_starts_nothing(scene: Scene) -> None:
    for name in ("vmlinuz-9", "../secret"):
        scene.entry = replace(ENTRY, kernel=name)
        with pytest.raises(BootConfigFailed, match="which is not there"):
            scene.start()


def test_a_kernel_whose_modules_are_gone_is_not_started(scene: Scene) -> None:
    bzimage(scene.boot / ENTRY.kernel, b"6.9.9")
    with pytest.raises(BootConfigFailed, match=r"no modules for its kernel 6\.9\.9"):
        scene.start()
