"""What is on the stick is listed, what is not there is refused while planning, nothing else is read."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.errors import Refused
from appliance.model.plan import PatchKind, PatchRequest, Request, Verb
from appliance.model.service_messages import OnStick
from appliance.twin.tools import _put
from appliance.workflow.stick import (
    bundle_bytes,
    chosen_checks,
    on_stick,
    read_script,
    why_not,
    why_too_large,
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    stick = tmp_path / "data"
    for folder in ("bundles/june", "bundles/may", "scripts", "checks/lib", "plans"):
        (stick / folder).mkdir(parents=True)
    for file in ("scripts/fix.sh", "root.sh", "boot.cfg", "bundles/loose.txt", "checks/lib/common"):
        (stick / file).write_text(file)
    for name, mode in (("10-web", 0o755), ("20-mail", 0o755), ("notes.txt", 0o644), (".hidden", 0o755)):
        (stick / "checks" / name).write_text("#!/bin/sh\n")
        (stick / "checks" / name).chmod(mode)
    (tmp_path / "secret").write_text("of the appliance")
    return stick


def request(**words: object) -> Request:
    skip = words.pop("skip_checks", ())
    return Request(verb=Verb.REHEARSE, patch=PatchRequest(**words), skip_checks=skip)  # type: ignore[arg-type]


def test_names_to_choose_from(data: Path) -> None:
    assert on_stick(data) == OnStick(
        bundles=("june", "may"), scripts=("scripts/fix.sh", "root.sh"), checks=("10-web", "20-mail")
    )
    assert on_stick(data / "no stick") == OnStick()


def test_all_that_is_missing_is_said_at_once_with_what_there_is(data: Path) -> None:
    wanted = request(kind=PatchKind.SCRIPT, script="x.sh", bundle="july", skip_checks=("30-no",))
    bundle, script, check = why_not(data, wanted)
    assert "bundles/july on the stick; it has: june, may." in bundle
    assert "no script x.sh on the stick; it has: scripts/fix.sh, root.sh." in script
    assert "no check 30-no on the stick to leave out; it has: 10-web, 20-mail." in check
    good = request(kind=PatchKind.SCRIPT, script="scripts/fix.sh", bundle="may", skip_checks=("10-web",))
    assert why_not(data, good) == ()


def test_a_bundle_weighs_what_its_debs_weigh_wherever_they_lie(data: Path) -> None:
    pool = data / "bundles/june/pool/l/ledger"
    pool.mkdir(parents=True)
    for file, size in ((pool / "ledger_1.1.deb", 3000), (data / "bundles/june/x.deb", 20)):
        file.write_bytes(bytes(size))
    (data / "bundles/june/Packages").write_bytes(bytes(500))
    (data / "bundles/june/gone.deb").symlink_to("nowhere")
    assert [bundle_bytes(data, name) for name in ("june", "may", "no", "")] == [3020, 0, 0, 0]


def test_a_bundle_that_memory_cannot_hold_is_refused_with_both_numbers(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (data / "bundles/june/x.deb").open("wb") as file:
        file.truncate(100 << 20)
    free = 263 << 20
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    (said,) = why_too_large(data, "june", data)
    assert "june takes 264 MiB" in said and "has 263 MiB for it: make one for this machine alone" in said
    free = 264 << 20
    assert why_too_large(data, "june", data) == ()
    free = 0
    assert why_too_large(data, "", data) == (), "no bundle was named"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "scripts", "no.sh"])
def test_a_script_is_read_from_the_stick_only(data: Path, name: str) -> None:
    assert why_not(data, request(kind=PatchKind.SCRIPT, script=name)) != ()
    with pytest.raises(Refused, match="could not be read"):
        read_script(data, name)
    assert read_script(data, "scripts/fix.sh") == b"scripts/fix.sh"


def test_skipped_checks_do_not_reach_the_twin_and_the_others_stay_executable(
    data: Path, tmp_path: Path
) -> None:
    assert chosen_checks(data, ()) == {"checks": data / "checks"}
    chosen = chosen_checks(data, ("10-web",))
    assert set(chosen) == {"checks/20-mail", "checks/notes.txt", "checks/.hidden", "checks/lib"}
    for name, content in chosen.items():
        _put(tmp_path / "tools" / name, content)
    assert (tmp_path / "tools/checks/20-mail").stat().st_mode & 0o111
    assert (tmp_path / "tools/checks/lib/common").read_text() == "checks/lib/common"
    for check in ("10-web", "20-mail"):
        (data / "checks" / check).unlink()
    assert chosen_checks(data, ()) == {}, "a folder without one executable holds no check"
