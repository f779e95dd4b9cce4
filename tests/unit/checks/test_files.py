"""Changed files sorted; data writes; what an untouched file costs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.checks.data import data_write
from appliance.checks.files import MOST_UNEXPLAINED, changed_files
from appliance.checks.walk import differences
from appliance.errors import DamagedData
from appliance.model.verdict import ChangeKind, FileChange, PackageChange

LEDGER = PackageChange(name="ledger", before="1.0", after="1.1")
KERNEL = PackageChange(name="linux-image-9", before="", after="9", new_kernel=True)


def write(root: Path, path: str, text: str = "x") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """A small merged-/usr system before, and a copy of it with the same times to change."""
    before, after = tmp_path / "before", tmp_path / "after"
    write(before, "usr/lib/ledger/ledger", "1.0")
    write(before, "usr/bin/other", "same")
    write(before, "etc/ledger.conf", "old")
    write(before, "etc/shadow", "root:x")
    write(before, "var/lib/dpkg/info/ledger.list", "/.\n/lib/ledger/ledger\n/etc/ledger.conf\n/usr/gone\n")
    write(before, "var/lib/dpkg/info/other.list", "/usr/bin/other\n")
    write(before, "var/log/syslog", "a")
    write(before, "usr/gone", "x")
    (before / "lib").symlink_to("usr/lib")
    (before / "usr/link").symlink_to("bin/other")
    shutil.copytree(before, after, symlinks=True)
    return before, after


def by_path(before: Path, after: Path, *changes: PackageChange) -> dict[str, FileChange]:
    return {f.path: f for f in changed_files(before, after, changes)}


def test_nothing_changed(roots: tuple[Path, Path]) -> None:
    assert changed_files(*roots, ()) == ()


def test_sorted_into_package_expected_and_unexplained(roots: tuple[Path, Path]) -> None:
    before, after = roots
    write(after, "usr/lib/ledger/ledger", "1.1")
    (after / "usr/gone").unlink()
    write(after, "etc/ledger.conf.dpkg-dist", "new")
    write(after, "etc/ld.so.cache", "cache")
    write(after, "var/log/syslog", "ab")
    write(after, "usr/bin/other", "evil")
    write(after, "usr/local/bin/surprise")
    (after / "usr/link").unlink()
    (after / "usr/link").symlink_to("bin/elsewhere")
    os.chmod(after / "etc/shadow", 0o600)
    found = by_path(before, after, LEDGER)
    assert (found["/usr/lib/ledger/ledger"].kind, found["/usr/lib/ledger/ledger"].by) == (
        ChangeKind.PACKAGE,
        "ledger",
    )
    assert (found["/usr/gone"].act, found["/usr/gone"].kind) == ("removed", ChangeKind.PACKAGE)
    assert found["/etc/ledger.conf.dpkg-dist"].kind is ChangeKind.PACKAGE
    assert found["/etc/ld.so.cache"].kind is ChangeKind.PACKAGE
    assert found["/var/log/syslog"].kind is ChangeKind.EXPECTED
    assert found["/usr/bin/other"].by == "belongs to other, which was not changed"
    for path in ("/usr/bin/other", "/usr/local/bin/surprise", "/usr/link", "/etc/shadow"):
        assert found[path].kind is ChangeKind.UNEXPLAINED, path
    assert next(iter(found.values())).kind is ChangeKind.UNEXPLAINED, "unexplained ones come first"


def test_rewritten_with_equal_content_is_no_change(roots: tuple[Path, Path]) -> None:
    before, after = roots
    write(after, "usr/bin/other", "same")
    os.utime(after / "usr/bin/other", (1, 1))
    assert by_path(before, after) == {}


def test_a_file_that_became_a_folder(roots: tuple[Path, Path]) -> None:
    before, after = roots
    (after / "usr/bin/other").unlink()
    write(after, "usr/bin/other/inside")
    acts = [(f.path, f.act) for f in changed_files(before, after, ())]
    assert ("/usr/bin/other", "removed") in acts and ("/usr/bin/other/", "added") in acts


def test_a_new_folder_of_one_package_is_one_entry(roots: tuple[Path, Path]) -> None:
    before, after = roots
    paths = ["/lib/modules/9", *(f"/lib/modules/9/m{n}.ko" for n in range(50))]
    write(after, "var/lib/dpkg/info/linux-image-9.list", "\n".join(paths) + "\n")
    for n in range(50):
        write(after, f"usr/lib/modules/9/m{n}.ko")
    write(after, "usr/lib/modules/9/modules.dep")
    write(after, "boot/initrd.img-9")
    found = by_path(before, after, KERNEL)
    assert found["/usr/lib/modules/9/"].by == "linux-image-9"
    assert found["/usr/lib/modules/9/modules.dep"].by == "depmod"
    assert found["/boot/initrd.img-9"].by == "update-initramfs"
    assert not any(path.endswith(".ko") for path in found)


def test_unexplained_ones_are_capped_and_counted(roots: tuple[Path, Path]) -> None:
    before, after = roots
    for n in range(MOST_UNEXPLAINED + 5):
        write(after, f"opt/f{n}")
    found = changed_files(before, after, ())
    assert any("and 6 more paths" in f.path for f in found), "/opt/ itself and 1005 files, 1000 shown"
    assert sum(f.kind is ChangeKind.UNEXPLAINED for f in found) == MOST_UNEXPLAINED + 1


def test_hostile_names_are_plain_text(roots: tuple[Path, Path]) -> None:
    before, after = roots
    (Path(os.fsdecode(os.fsencode(after) + b"/opt"))).mkdir()
    for name in (b"\xff\xfe", b"\x1b[2Jx", b"new\nline", "a\u202eb".encode()):
        Path(os.fsdecode(os.fsencode(after) + b"/opt/" + name)).write_text("x")
    for change in changed_files(before, after, ()):
        assert change.path.isprintable() and change.path.encode()


def test_a_path_no_one_can_open_is_damaged_data(tmp_path: Path) -> None:
    with pytest.raises(DamagedData, match="cannot be read"):
        list(differences(tmp_path / "not-there", tmp_path))


def test_data_write_names_the_paths(tmp_path: Path) -> None:
    before, after = tmp_path / "b", tmp_path / "a"
    write(before, "ledger/data", "schema 1")
    write(before, "ledger/old")
    shutil.copytree(before, after)
    assert data_write("/srv", before, after) is None
    write(after, "ledger/data", "schema 2")
    write(after, "ledger/new", "y" * 9000)
    (after / "ledger/old").unlink()
    found = data_write("/srv", before, after)
    assert found is not None
    assert set(found.paths) == {"/srv/ledger/data", "+/srv/ledger/new", "-/srv/ledger/old"}
    assert found.bytes >= 9000 and found.target == "/srv"


def test_many_data_paths_are_capped(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for n in range(60):
        write(tmp_path / "a", f"f{n}")
    found = data_write("/srv", tmp_path / "b", tmp_path / "a")
    assert found is not None and found.paths[-1] == "(and 10 more)" and len(found.paths) == 51


@pytest.fixture
def snapshot(tmp_path: Path) -> Iterator[Callable[[], tuple[Path, Path]]]:
    """Two states of one ext4: the image, and a copy of it that is changed while mounted."""
    image, later = tmp_path / "base.img", tmp_path / "later.img"
    content = tmp_path / "content"
    write(content, "etc/a", "one")
    write(content, "etc/b", "two")
    for command in (("truncate", "-s", "16M", image), ("mkfs.ext4", "-q", "-d", content, image)):
        subprocess.run([str(word) for word in command], check=True)
    shutil.copy(image, later)
    places = tmp_path / "at-base", tmp_path / "at-later"
    for place in places:
        place.mkdir()

    def mounted() -> tuple[Path, Path]:
        for file, place in zip((image, later), places, strict=True):
            subprocess.run(("mount", "-o", "ro,noload,loop", str(file), str(place)), check=True)
        return places

    subprocess.run(("mount", "-o", "loop", str(later), str(places[1])), check=True)
    write(places[1], "etc/b", "TWO")
    subprocess.run(("umount", str(places[1])), check=True)
    yield mounted
    for place in places:
        subprocess.run(("umount", str(place)), check=False)


@pytest.mark.root
def test_untouched_files_of_a_snapshot_are_not_read(
    snapshot: Callable[[], tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = snapshot()
    compared: list[bytes] = []
    monkeypatch.setattr("appliance.checks.walk._equal", lambda one, other: compared.append(one) or False)
    assert [d.path for d in differences(before, after)] == ["/etc/b"]
    assert compared == [os.fsencode(before / "etc/b")], "only what was written is compared by content"
