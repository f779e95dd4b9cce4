"""Every boot configuration of the corpus is recognised, and comes back byte for byte through our editors."""

from __future__ import annotations

import difflib
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from appliance.boot import env, grubcfg
from appliance.boot.rootname import joined
from appliance.host.run import RealHost, read
from appliance.probe.bls import parse_lines
from appliance.probe.grub import parse_env_block, root_argument
from appliance.probe.loaders import Found, find_loader
from appliance.probe.tree import Tree

CORPUS = Path(__file__).parents[2] / "fixtures/corpus"
INDEX: dict[str, dict[str, Any]] = tomllib.loads((CORPUS / "boot.toml").read_text())
NAMES = sorted(INDEX)
FILES = sorted(path for path in (CORPUS / "boot").rglob("*") if path.is_file())
CONFIGS = [path for path in FILES if path.name == "grub.cfg"]
MENUS = [p for p in CONFIGS if not re.search(rb"^(?:blscfg|configfile .*)$", p.read_bytes(), re.MULTILINE)]
"""Those that hold their entries themselves."""
ENTRIES = [path for path in FILES if path.suffix == ".conf"]
BLOCKS = [path for path in FILES if path.name == "grubenv"]


def shown(path: Path) -> str:
    return str(path.relative_to(CORPUS / "boot"))


def text_of(path: Path) -> str:
    """Without turning any line end."""
    return path.read_bytes().decode()


def recognised(name: str) -> Found:
    """What the probe makes of it: /boot of its own or inside the root, and an ESP where there is one."""
    folder = CORPUS / "boot" / name
    esp = Tree(folder / "esp") if (folder / "esp").is_dir() else None
    if (folder / "root").is_dir():
        return find_loader(Tree(folder / "root"), "/boot", "/boot", "", esp, "")
    return find_loader(Tree(folder / "boot"), "", "", "", esp, "")


def test_the_corpus_is_what_its_index_says() -> None:
    assert len(NAMES) >= 60
    assert sorted(path.name for path in (CORPUS / "boot").iterdir()) == NAMES
    assert all(len(INDEX[name]["source"]) > 10 for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_recognised(name: str) -> None:
    wanted, found = INDEX[name], recognised(name)
    loader = found.loader
    default = next((e.title for e in loader.entries if e.default), "")
    assert (loader.kind.value, loader.bls) == (wanted["loader"], wanted.get("bls", False))
    assert (default, found.kernel) == (wanted["default"], wanted["kernel"])
    assert root_argument(found.arguments) == wanted["root"]
    assert len(loader.entries) == wanted["entries"]
    assert sum(e.default for e in loader.entries) == bool(default)
    assert "$" not in found.arguments.replace("${extra_cmdline}", "").replace("$vt_handoff", "")


@pytest.mark.parametrize("path", CONFIGS, ids=shown)
def test_grub_cfg_comes_back_from_the_editor_byte_for_byte(path: Path) -> None:
    text = text_of(path)
    for old in {entry.root for entry in grubcfg.read_entries(text)} - {""}:
        _, _, part = old.rstrip("]").partition("[")
        new = joined("/dev/mapper/vg0-root--tb1", f"{part}-tb1" if part else "")
        edited = grubcfg.with_root(text, old, new)
        changed = [line[2:] for line in difflib.ndiff(text.split("\n"), edited.split("\n")) if line[0] == "-"]
        assert changed and all(re.match(r"\s*linux(?:16|efi)?\s", line) for line in changed)
        assert new in {entry.root for entry in grubcfg.read_entries(edited)}
        assert grubcfg.with_root(edited, new, old) == text


@pytest.mark.parametrize("path", MENUS, ids=shown)
def test_both_readers_of_grub_cfg_name_the_same_default(path: Path) -> None:
    """The probe tells what is started, boot/ copies its command line: they must mean one entry."""
    block = path.with_name("grubenv")
    values = env.values_of(block.read_bytes()) if block.is_file() else {}
    promoted = grubcfg.default_entry(text_of(path), saved=values.get("saved_entry", ""))
    name = path.relative_to(CORPUS / "boot").parts[0]
    if promoted is None:
        assert name in UNTOLD
    else:
        device, part, _ = promoted.root.partition("[")
        assert (promoted.title, device) == (INDEX[name]["default"], INDEX[name]["root"])
        assert bool(part) == ("subvol" in promoted.options)
        assert f"/{promoted.kernel}" == INDEX[name]["kernel"]


UNTOLD = {"debian-12-default-gone"}
"""Where boot/ says nothing, and so refuses: better than to take a guess of ours for the machine's default."""


@pytest.mark.parametrize("path", ENTRIES, ids=shown)
def test_entries_and_loader_conf_are_their_lines(path: Path) -> None:
    text = text_of(path)
    lines = parse_lines(text)
    assert "".join(line.raw for line in lines) == text
    meant = [row for row in text.split("\n") if row.strip() and not row.startswith("#")]
    assert len([line for line in lines if line.key]) == len(meant)


@pytest.mark.parametrize("path", BLOCKS, ids=shown)
def test_both_readers_of_grubenv_agree_and_it_is_one_block(path: Path) -> None:
    data = path.read_bytes()
    assert len(data) == env.SIZE
    assert parse_env_block(data.decode()) == env.values_of(data)
    lines = [f"{name}={value}\n".encode() for name, value in env.values_of(data).items()]
    comments = re.findall(rb"^# .*\n", data, re.MULTILINE)
    if data.startswith(env.SIGNATURE):
        assert b"".join([*comments, *lines]).ljust(env.SIZE, b"#") == data


@pytest.mark.skipif(shutil.which("grub-script-check") is None, reason="GRUB's own parser is not installed")
def test_grub_itself_takes_every_configuration() -> None:
    for path in CONFIGS:
        RealHost().run(read("grub-script-check", str(path), timeout=60))
