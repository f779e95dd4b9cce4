"""A run on a btrfs root through the runner, on a real file system: the power goes at every write.

What the disk held at that moment is what the next start finds; what was in memory is gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.host.run import RealHost
from appliance.model.plan import PlannedStep, Request, Verb
from appliance.probe import btrfs
from appliance.volumes import choose_btrfs, elsewhere
from appliance.volumes.btrfs_file import FILES
from appliance.workflow.runner import Outcome, Step, execute, recover
from appliance.workflow.steps import retire
from appliance.workflow.steps.default import TakeDefault
from tests.contract import alone
from tests.contract.dark import PowerCut
from tests.contract.real_btrfs import tree
from tests.contract.real_lvm import run
from tests.crash.btrfs_lab import MIB, OF_TB1, SIZE, Lab, hand_in, rehearsal
from tests.crash.diskcut import Cut, count_tags

pytestmark = [
    pytest.mark.root,
    pytest.mark.full,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]

FSTAB = "UUID={uuid} / btrfs defaults,subvol={root} 0 0\nUUID={uuid} /home btrfs defaults,subvol=@home 0 0\n"


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cut:
    """What would be in /run is here, and a small twin does."""
    made = Cut()
    count_tags(monkeypatch, made)
    monkeypatch.setattr(choose_btrfs, "RUNTIME", tmp_path / "run")
    monkeypatch.setattr(elsewhere, "OVERLAY_LEAST", 4 * MIB)
    monkeypatch.setattr(choose_btrfs, "spare_bytes", lambda expected: 4 * MIB)
    monkeypatch.setattr(retire, "refuse_what_is_needed", lambda ctx, ground: None)
    alone.begin()
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """@rootfs and @home as Debian's installer leaves them, the root what a mount takes unasked."""
    alone.begin()
    folder = tmp_path_factory.mktemp("made")
    file, at = folder / "made.img", folder / "at"
    with file.open("wb") as out:
        out.truncate(SIZE)
    run("mkfs.btrfs", "-q", str(file))
    at.mkdir()
    run("mount", "-o", "loop", str(file), str(at))
    uuid = btrfs.look(RealHost(), at).uuid
    for name in ("@rootfs", "@home"):
        run("btrfs", "subvolume", "create", str(at / name))
        (at / name / "data").write_bytes(os.urandom(65536))
    run("btrfs", "subvolume", "set-default", str(at / "@rootfs"))
    (at / "@rootfs/etc").mkdir()
    (at / "@rootfs/etc/fstab").write_text(FSTAB.format(uuid=uuid, root="@rootfs"))
    run("umount", str(at))
    return file


@pytest.fixture
def labs(tmp_path: Path, made: Path, cut: Cut) -> Iterator[list[Lab]]:
    there: list[Lab] = []
    yield there
    try:
        for lab in there:
            lab.close()
    finally:
        alone.end()


def test_a_rehearsal_leaves_base_sealed_and_trial_and_not_its_room(
    tmp_path: Path, made: Path, cut: Cut, labs: list[Lab]
) -> None:
    lab = Lab(tmp_path / "lab", made, cut)
    labs.append(lab)
    root, home = lab.content("@rootfs"), lab.content("@home")
    assert execute(*lab.begin("rehearse", *rehearsal(lab))) is Outcome.DONE
    assert lab.names_there() == {"@rootfs", "@home"} | OF_TB1
    assert (lab.content("@rootfs"), lab.content("@home")) == (root, home)
    assert lab.content("twinboot/@rootfs-tb1") == lab.content("twinboot/@rootfs-tb1-sealed") != root
    assert not any(written for _, written in lab.ground().changed(lab.host))


def test_a_rehearsal_that_loses_its_power_is_undone_whole(
    tmp_path: Path, made: Path, cut: Cut, labs: list[Lab]
) -> None:
    lab = Lab(tmp_path / "first", made, cut)
    cut.told.clear()
    execute(*lab.begin("rehearse", *rehearsal(lab)))
    total = len(cut.told)
    lab.close()
    assert total >= 40
    for number in range(total):
        lab = Lab(tmp_path / "lab", made, cut)
        labs.append(lab)
        root, home = lab.content("@rootfs"), lab.content("@home")
        cut.left = number
        with pytest.raises(PowerCut):
            execute(*lab.begin("rehearse", *rehearsal(lab)))
        lab.again()
        assert recover(*lab.begin("rehearse", *rehearsal(lab))) is Outcome.ROLLED_BACK
        assert lab.names_there() == {"@rootfs", "@home"}, cut.told[number]
        assert (lab.content("@rootfs"), lab.content("@home")) == (root, home)
        labs.remove(lab)
        lab.close()


def retirement(lab: Lab) -> tuple[Step, ...]:
    ground = lab.ground(
        request=Request(verb=Verb.RETIRE, run="tb1"),
        doomed=("@rootfs", "@rootfs-tb1-base", "@rootfs-tb1-sealed"),
    )
    kinds = (
        ("default", TakeDefault),
        ("let-go", retire.LetGo),
        ("delete", retire.DeleteDoomed),
        ("name-back", retire.GiveNameBack),
    )
    planned = (PlannedStep(id=name, title=name, commit=name in ("let-go", "delete")) for name, _ in kinds)
    return tuple(kind(step, ground) for step, (_, kind) in zip(planned, kinds, strict=True))


def kept(lab: Lab) -> str:
    """A machine whose run was kept: its fstab names the trial. What the kept root holds beside that."""
    execute(*lab.begin("rehearse", *rehearsal(lab)))
    uuid = lab.look().uuid
    with hand_in(lab).writing() as mounted:
        root, home = mounted.at("twinboot/@rootfs-tb1"), "var/lib/twinboot/tb1"
        (root / home).mkdir(parents=True)
        (root / home / "fstab.first").write_bytes((root / "etc/fstab").read_bytes())
        (root / "etc/fstab").write_text(FSTAB.format(uuid=uuid, root="twinboot/@rootfs-tb1"))
        return tree(root / "etc") + str((root / "patched").stat().st_size)


def test_a_retire_that_loses_its_power_goes_on_to_the_kept_root_under_its_first_name(
    tmp_path: Path, made: Path, cut: Cut, labs: list[Lab]
) -> None:
    lab = Lab(tmp_path / "first", made, cut)
    kept(lab)
    cut.told.clear()
    assert execute(*lab.begin("retire", *retirement(lab))) is Outcome.DONE
    total = len(cut.told)
    lab.close()
    assert total >= 15
    for number in range(total):
        lab = Lab(tmp_path / "lab", made, cut)
        labs.append(lab)
        kept(lab)
        home = lab.content("@home")
        cut.left = number
        with pytest.raises(PowerCut):
            execute(*lab.begin("retire", *retirement(lab)))
        lab.again()
        if recover(*lab.begin("retire", *retirement(lab))) is Outcome.ROLLED_BACK:
            assert {"@rootfs", "twinboot/@rootfs-tb1"} <= lab.names_there(), "either is whole"
            execute(*lab.begin("once-more", *retirement(lab)))
        assert lab.names_there() - {FILES} == {"@rootfs", "@home"}, cut.told[number]
        assert lab.content("@home") == home
        with hand_in(lab).reading() as mounted:
            assert (mounted.at("@rootfs") / "patched").is_file(), "it is the kept one"
            assert "subvol=@rootfs" in (mounted.at("@rootfs") / "etc/fstab").read_text()
            assert not (mounted.at("@rootfs") / "var/lib/twinboot").exists()
            assert mounted.look().default == mounted.look().at("@rootfs")
        labs.remove(lab)
        lab.close()


@pytest.mark.parametrize("verb", [Verb.ROLLBACK, Verb.RETIRE])
def test_a_default_that_the_metal_turned_goes_back_and_a_cut_leaves_either(
    tmp_path: Path, made: Path, cut: Cut, labs: list[Lab], verb: Verb
) -> None:
    """A roll back, and the retire of a run that is not kept: what is started is led by a name meanwhile."""
    doomed = () if verb is Verb.ROLLBACK else tuple(sorted(path.rpartition("/")[2] for path in OF_TB1))

    def turned_back(lab: Lab) -> Step:
        ground = lab.ground(request=Request(verb=verb, run="tb1"), doomed=doomed)
        return TakeDefault(PlannedStep(id="default", title="default", commit=True), ground)

    def default(lab: Lab) -> str:
        return lab.look().path(lab.look().default)

    for left in (None, 0, 1, 2):
        lab = Lab(tmp_path / "lab", made, cut)
        labs.append(lab)
        execute(*lab.begin("rehearse", *rehearsal(lab)))
        assert turned_back(lab).done(lab.begin("asked")[2]), "the metal has not turned it"
        with hand_in(lab).writing() as mounted:
            mounted.make_default(mounted.look().at("twinboot/@rootfs-tb1"))
        assert not turned_back(lab).done(lab.begin("asked")[2])
        if left is None:
            assert execute(*lab.begin("back", turned_back(lab))) is Outcome.DONE
        else:
            cut.left = left
            with pytest.raises(PowerCut):
                execute(*lab.begin("back", turned_back(lab)))
            lab.again()
            assert default(lab) in ("@rootfs", "twinboot/@rootfs-tb1")
            recover(*lab.begin("back", turned_back(lab)))
            execute(*lab.begin("once-more", turned_back(lab)))
        assert default(lab) == "@rootfs" and lab.names_there() >= OF_TB1
        labs.remove(lab)
        lab.close()
