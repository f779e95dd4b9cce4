"""The table of machines claims no more than tests that passed have stamped."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest

from appliance.model.machine import Bus, Firmware, LoaderKind, Storage
from appliance.model.seen import BOOTED
from tests.e2e import cells
from tests.e2e.cells import CELLS, HERE, Stamp, Stamping, Stamps, said_of, stamp, stamps, table

THIN = CELLS[0]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cells, "KEPT", tmp_path / "passed.json")


def write(file: Path, known: Stamps) -> None:
    file.write_bytes(msgspec.json.encode(known))


def names_in(file: Path) -> set[str]:
    body = ast.parse(file.read_text()).body
    return {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def test_every_cell_names_tests_there_are_in_words_of_the_model() -> None:
    for cell in CELLS:
        assert cell.storage in {s.value for s in Storage} and cell.firmware in {f.value for f in Firmware}
        assert cell.loader in {k.value for k in LoaderKind} and cell.bus in {b.value for b in Bus}
        assert cell.tests
        for test in cell.tests:
            file, _, name = test.partition("::")
            assert name.partition("[")[0] in names_in(HERE / file), test
    assert len({cell.key for cell in CELLS}) == len(CELLS)


def test_what_is_said_to_be_booted_by_us_has_a_cell() -> None:
    seen = {(cell.storage, cell.loader) for cell in CELLS}
    assert {(c.storage.value, c.loader.value) for c in BOOTED} <= seen


def test_without_a_stamp_nothing_is_booted() -> None:
    assert "booted" not in table()
    assert said_of(THIN) == f"not seen by these tests (0 of {len(THIN.tests)} passed)"


def test_a_cell_is_booted_once_all_of_its_tests_have_passed() -> None:
    for test in THIN.tests[1:]:
        stamp(test)
    assert said_of(THIN).startswith("not seen")
    stamp(THIN.tests[0])
    assert said_of(THIN).startswith("booted, last 20")
    rows = [row for row in table().splitlines() if "booted, last" in row]
    assert [row.split()[:5] for row in rows] == [["LVM", "thin", "bios", "GRUB", "virtio"]]


def test_a_test_that_was_changed_since_counts_no_more() -> None:
    for test in THIN.tests:
        stamp(test)
    day, all_of = stamps()[THIN.tests[0]].day, len(THIN.tests)
    write(cells._stamps_file(), stamps() | {THIN.tests[0]: Stamp(day, "0" * 16)})
    changed = f"its tests have changed since ({all_of - 1} of {all_of} passed as they are)"
    assert said_of(THIN) == f"gone round {day}, but {changed}"
    assert "booted" not in table()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": {"day": "2026-12-31"}}', '{"a": 1}'])
def test_a_damaged_record_claims_nothing(text: str) -> None:
    cells._stamps_file().write_text(text)
    cells.KEPT.write_text(text)
    assert stamps() == {}


def test_stamps_kept_beside_the_code_count_as_those_of_this_computer_do() -> None:
    for test in THIN.tests:
        stamp(test)
    here = stamps()
    write(cells._stamps_file(), here | {"test_gone.py::test_x": Stamp("2026-11-01", "0" * 16)})
    cells.keep()
    cells._stamps_file().unlink()
    assert stamps() == here
    assert said_of(THIN).startswith("booted, last 20")


def test_of_two_stamps_of_a_test_the_later_one_counts() -> None:
    first, second = THIN.tests[:2]
    write(cells.KEPT, {first: Stamp("2026-11-02", "kept"), second: Stamp("2026-11-02", "kept")})
    write(cells._stamps_file(), {first: Stamp("2026-11-01", "here"), second: Stamp("2026-11-03", "here")})
    assert stamps() == {first: Stamp("2026-11-02", "kept"), second: Stamp("2026-11-03", "here")}


def test_what_is_kept_is_a_record_of_tests_there_are() -> None:
    known = msgspec.json.decode((HERE / "passed.json").read_bytes(), type=Stamps)
    assert set(known) <= {test for cell in CELLS for test in cell.tests}


def test_only_a_pass_of_the_test_itself_is_stamped() -> None:
    plugin, test = Stamping(), THIN.tests[0]
    assert {plugin} == {plugin}, "pytest keeps its plugins in sets"

    def report(nodeid: str, when: str, outcome: str) -> pytest.TestReport:
        return pytest.TestReport(nodeid, ("", 0, ""), {}, outcome, None, when)  # type: ignore[arg-type]

    for when, outcome in (
        ("setup", "passed"),
        ("call", "failed"),
        ("call", "skipped"),
        ("teardown", "passed"),
    ):
        plugin.pytest_runtest_logreport(report(f"tests/e2e/{test}", when, outcome))
    plugin.pytest_runtest_logreport(report("tests/e2e/test_other.py::test_x", "call", "passed"))
    assert stamps() == {}
    plugin.pytest_runtest_logreport(report(f"tests/e2e/{test}", "call", "passed"))
    assert list(stamps()) == [test]


def test_recorded_machines_without_a_test_are_recorded_or_refused_and_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cells, "CELLS", ())
    rows = table().splitlines()[1:]
    assert any(row.endswith(" recorded") and row.startswith("LVM thin") for row in rows)
    assert all(" recorded" in row or " refused: " in row for row in rows)
    assert any("recorded: configuration only" in row for row in rows), "nobody has started Ubuntu"
