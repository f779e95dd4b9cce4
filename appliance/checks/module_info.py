"""What modules say of themselves (modinfo(8)), and whether the firmware they name is there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from appliance.errors import CommandFailed
from appliance.host.run import Command, Effect, Host
from appliance.probe.tree import Tree

ANY_STATUS = frozenset(range(256))
PACKED = ("", ".xz", ".zst")
"""How the kernel's loader takes firmware (CONFIG_FW_LOADER_COMPRESS)."""


def firmware_of(host: Host, root: Path, version: str, modules: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The firmware files that each module of kernel `version` below `root` names; none for what does not
    read, or is not there."""
    wanted = tuple(modules)
    if not wanted:
        return {}
    # Its own root, so that neither the appliance's modules nor its configuration is looked at.
    argv = ("modinfo", "-b", str(root), "-k", version, "--", *wanted)
    try:
        said = host.run(Command(argv, Effect.READ, ok=ANY_STATUS, timeout=300)).stdout
    except CommandFailed:
        return {}
    return parse(said)


def parse(text: str) -> dict[str, tuple[str, ...]]:
    """Firmware by module from what modinfo says of several one after the other.

    A file's part begins with "filename:" and names it further down; one of the kernel itself begins with
    "name:", and its "filename:" is "(builtin)".
    """
    found: dict[str, tuple[str, ...]] = {}
    name, firmware = "", set[str]()
    for line in (*text.splitlines(), "filename: /end"):
        key, _, value = line.partition(":")
        value = value.strip()
        if (key == "filename" and value != "(builtin)") or (key == "name" and name):
            if name:
                found[name.replace("-", "_")] = tuple(sorted(firmware))
            name, firmware = "", set()
        if key == "name":
            name = value
        elif key == "firmware" and value:
            firmware.add(value)
    return found


def has_firmware(tree: Tree, version: str, name: str) -> bool:
    """Whether the kernel's loader would find `name` (drivers/base/firmware_loader/main.c, fw_path)."""
    if name.startswith("/") or ".." in name.split("/"):
        return False
    folders = (f"updates/{version}/", "updates/", f"{version}/", "")
    return any(tree.is_file(f"/lib/firmware/{folder}{name}{end}") for folder in folders for end in PACKED)
