"""A unified image is what its system's own kernel-install made, and would make again: held against /boot."""

from __future__ import annotations

import configparser
from pathlib import Path

from appliance.boot.artifacts import image_at
from appliance.boot.shapes import Artifacts
from appliance.errors import DamagedData
from appliance.probe.tree import Tree

CONF = "/etc/kernel/install.conf"
UKIFY = "/usr/bin/ukify"
STUBS, SETTINGS = "/usr/lib/systemd/boot/efi", "/etc/kernel/uki.conf"
"""What ukify puts in front of the kernel, where its settings name nothing else (ukify(1), Stub=)."""


def why_no_image(root: Path, artifacts: Artifacts) -> tuple[str, ...]:
    """Sentences on why keep, which has the patched system mounted at `root` make its image from /boot, would
    not make the one that was tested. Nothing where it boots by none."""
    if not artifacts.unified:
        return ()
    file, tree = artifacts.file(artifacts.kernel), Tree(root)
    reasons = [
        f"{file.name} does not hold {path} of the patched system: kernel-install has not run since."
        for section, name in ((".linux", "vmlinuz"), (".initrd", "initrd.img"))
        if not _holds(Path(file.source), section, tree.resolve(path := f"/boot/{name}-{artifacts.version}"))
    ]
    if _layout(tree) != "uki":
        reasons.append(f"{CONF} of the patched system says no layout=uki: it makes no unified image.")
    if not tree.is_file(UKIFY):
        reasons.append("The patched system has no ukify, and could not make a unified image of its own.")
    elif not _has_stub(tree):
        reasons.append("The patched system has no systemd-boot-efi, whose stub a unified image begins with.")
    return tuple(reasons)


def _holds(image: Path, name: str, file: Path | None) -> bool:
    """Whether the section begins with all that the file has: what follows it there is padding."""
    found = image_at(image)
    section = found.section(name) if found else None
    if section is None or file is None or not file.is_file():
        return False
    content = file.read_bytes()
    with image.open("rb") as data:
        data.seek(section.offset)
        return len(content) <= section.size < len(content) + 4096 and data.read(len(content)) == content


def _has_stub(tree: Tree) -> bool:
    named = "Stub" in tree.part(SETTINGS, 0, 1 << 16).decode(errors="replace")
    return named or any(name.endswith(".efi.stub") for name in tree.names(STUBS))


def _layout(tree: Tree) -> str:
    """What install.conf says, a file of "key=value" lines (kernel-install(8))."""
    conf = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        conf.read_string(f"[all]\n{tree.text(CONF) or ''}")
    except (DamagedData, configparser.Error):
        return ""
    return conf.get("all", "layout", fallback="")
