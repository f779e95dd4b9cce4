"""Small parts of the squashfs layers and of the table of sizes."""

from __future__ import annotations

from pathlib import Path

from appliance.image.cache import digest_of, prune
from appliance.image.sizes import folder_sizes, table
from appliance.image.squash import launchers

ENTRY_POINTS = """\
[console_scripts]
twinboot = appliance.cli:main
twinboot-console = tui.app:main

[other]
nothing = some.module:thing
"""


def test_launchers_are_made_for_console_scripts_only() -> None:
    assert launchers(ENTRY_POINTS) == [
        ("twinboot", "appliance.cli", "main"),
        ("twinboot-console", "tui.app", "main"),
    ]


def test_the_key_follows_contents_names_and_modes_but_not_documentation(tmp_path: Path) -> None:
    script = tmp_path / "hook"
    script.write_text("a")
    (tmp_path / "README.rst").write_text("one")
    first = digest_of([tmp_path])
    (tmp_path / "README.rst").write_text("two")
    assert digest_of([tmp_path]) == first
    script.chmod(0o755)
    second = digest_of([tmp_path])
    script.write_text("b")
    third = digest_of([tmp_path])
    script.rename(tmp_path / "hook2")
    assert len({first, second, third, digest_of([tmp_path]), digest_of([tmp_path], "x")}) == 5


def test_pruning_keeps_the_most_recently_used(tmp_path: Path) -> None:
    import os

    for age, name in enumerate(("new", "middle", "old")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    prune(tmp_path, keep=2)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["middle", "new"]


def test_sizes_are_grouped_and_an_output_past_its_limit_is_named(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name, size in {"usr/lib/modules/a.ko": 3000, "usr/lib/modules/b.ko": 1000, "etc/x": 10}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(bytes(size))
    assert folder_sizes(tree) == {"usr/lib/modules": 4000, "etc": 10}
    output = tmp_path / "out"
    output.write_bytes(bytes(3_000_000))
    text = table(tree, [("big", output, 2), ("fits", output, 4)])
    assert "<= 2  TOO BIG" in text and "<= 4\n" in text
