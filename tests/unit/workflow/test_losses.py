"""Before going back: what was written since the trial began is named, and nothing is written to find out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.boot import confirm
from appliance.errors import CommandFailed
from appliance.model.plan import Loss, Request, Verb
from appliance.volumes.base import SnapshotRole
from appliance.workflow import losses
from appliance.workflow.rehearse import build_plan
from appliance.workflow.steps.ground import Ground
from appliance.workflow.workplace import Workplace
from tests.contract.fake_lvm import FakeLvm
from tests.unit.workflow.test_rehearse_plan import Lineage, machine

PLAN = build_plan(machine(), Request(verb=Verb.REHEARSE, emulate=True), Lineage())
VOLUMES = ("vg0-root--tb1--sealed", "vg0-root--tb1", "vg0-srv--tb1--safety", "vg0-srv")


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeLvm, Ground, Path]:
    """A promoted run; instead of mounts, one folder for each volume."""
    lvm = FakeLvm()
    for name in ("root", "srv"):
        lvm.add(name, 1 << 30, 4)
    made = Ground(PLAN, Workplace(machine(), "tb1", tmp_path / "tb1", tmp_path / "run", tmp_path / "data"))
    store = made.store(lvm)
    for role in (SnapshotRole.BASE, SnapshotRole.WORK, SnapshotRole.SEALED, SnapshotRole.TRIAL):
        store.create(made.snapshot(role))
    for safety in made.data_snapshots(SnapshotRole.SAFETY):
        store.create(safety)
    lvm.write("root-tb1", 7)

    @contextlib.contextmanager
    def mounted(
        host: object, device: str, fstype: str, at: Path, part: tuple[str, ...] = ()
    ) -> Iterator[Path]:
        if not (tmp_path / Path(device).name).is_dir():
            raise CommandFailed(f"mount {device} ended with status 32.")
        yield tmp_path / Path(device).name

    monkeypatch.setattr(losses, "mounted_readonly", mounted)
    for name in VOLUMES:
        (tmp_path / name / "etc").mkdir(parents=True)
    return lvm, made, tmp_path


def write(root: Path, path: str, text: str = "x") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_system_and_data_are_named_with_their_data_bases(ground: tuple[FakeLvm, Ground, Path]) -> None:
    lvm, made, at = ground
    trial, srv = at / "vg0-root--tb1", at / "vg0-srv"
    for path in ("var/log/syslog", "etc/fstab", *confirm.files("tb1")):
        write(trial, path, "not a loss")
    write(trial, "home/ann/letter")
    write(trial, "var/lib/mysql/ibdata1")
    write(srv, "ledger/data.v2", "y" * 9000)
    write(srv, "pg/PG_VERSION", "15")
    system, data = losses.losses(lvm, made)
    assert system.where == "the system (vg0/root-tb1)"
    assert system.paths == ("+/home/ann/letter", "+/var/lib/mysql/ibdata1")
    assert system.databases == ("/var/lib/mysql",)
    assert system.bytes > 0
    assert data.where == "/srv" and "+/srv/ledger/data.v2" in data.paths
    assert (data.databases, data.safety) == (("/srv/pg",), "vg0/srv-tb1-safety")
    assert data.bytes >= 9000


def test_with_data_it_is_said_where_what_goes_is_kept(ground: tuple[FakeLvm, Ground, Path]) -> None:
    lvm, made, at = ground
    write(at / "vg0-root--tb1", "home/ann/letter")
    write(at / "vg0-srv", "new")
    request = Request(verb=Verb.ROLLBACK, run="tb1", with_data=True)
    system, data = losses.losses(lvm, Ground(replace(PLAN, request=request), made.work))
    assert (system.undone, data.undone, data.safety) == ("", "vg0/srv-tb1-undone", "vg0/srv-tb1-safety")
    (at / "vg0-srv").rename(at / "gone")
    _, data = losses.losses(lvm, Ground(replace(PLAN, request=request), made.work))
    assert data.note.startswith("could not be read") and data.undone == "vg0/srv-tb1-undone"


def test_nothing_written_is_no_loss_and_volumes_are_down_again(ground: tuple[FakeLvm, Ground, Path]) -> None:
    lvm, made, at = ground
    write(at / "vg0-root--tb1", "var/log/syslog")
    before = {name: lv.blocks for name, lv in lvm.lvs.items()}
    assert losses.losses(lvm, made) == ()
    assert {name: lv.blocks for name, lv in lvm.lvs.items()} == before
    assert [name for name, lv in lvm.lvs.items() if lv.active] == []


def test_what_cannot_be_read_is_said_and_the_rest_still_told(ground: tuple[FakeLvm, Ground, Path]) -> None:
    lvm, made, at = ground
    (at / "vg0-root--tb1").rename(at / "gone")
    write(at / "vg0-srv", "new")
    system, data = losses.losses(lvm, made)
    assert system == Loss(
        where="the system (vg0/root-tb1)",
        note="could not be read: mount /dev/mapper/vg0-root--tb1 ended with status 32.",
    )
    assert data.paths == ("+/srv/new",)
    assert [name for name, lv in lvm.lvs.items() if lv.active] == []


def test_volumes_that_are_not_there_lose_nothing(ground: tuple[FakeLvm, Ground, Path]) -> None:
    lvm, made, _ = ground
    for name in ("srv-tb1-safety", "root-tb1-sealed"):
        del lvm.lvs[name]
    assert losses.losses(lvm, made) == ()


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("/var/lib/mysql/ledger/x.ibd", "/var/lib/mysql"),
        ("+/srv/pg/PG_VERSION", "/srv/pg"),
        ("/var/lib/postgresql/15/main/base/1", "/var/lib/postgresql/15/main"),
        ("/opt/app/state.sqlite3", "/opt/app"),
        ("/home/ann/letter.txt", ""),
        ("/usr/share/mysqlfoo/x", ""),
    ],
)
def test_data_bases_are_known_by_folder_or_mark(path: str, folder: str) -> None:
    assert losses.databases([path]) == ((folder,) if folder else ())
