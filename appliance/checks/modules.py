"""Which driver a system's kernel takes for a device, as its own module index and modprobe.d say.

modules.alias and modules.dep as depmod(8) writes them, modules.builtin.modinfo as the kernel's build does,
modprobe.d(5), kernel-command-line words of modprobe(8). Read, never run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from appliance.errors import DamagedData
from appliance.probe.tree import Tree

CONFIG_FOLDERS = (
    *("/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d"),
    *("/usr/lib/modprobe.d", "/lib/modprobe.d"),
)
BUSES = ("pci:", "usb:", "virtio:")
LONGEST = 512
"""Characters of a pattern; the kernel's own are below 100."""
BUILT_IN = ""
"""The path of a module that is part of the kernel itself."""

_BARRED = re.compile(r"\S*/(false|true)\b")
_LITERAL = re.compile(r"[^*?\[]*")
_SUFFIX = re.compile(r"\.ko(\.(xz|zst|gz))?\Z")


@dataclass(frozen=True, slots=True)
class Modules:
    """`patterns` are (literal beginning, pattern, module); `paths` lead from a module to its file in the
    kernel's module folder; `barred` are modules that no alias brings in."""

    patterns: tuple[tuple[str, str, str], ...]
    paths: dict[str, str] = field(default_factory=dict)
    barred: frozenset[str] = frozenset()

    def drivers(self, modaliases: Iterable[str]) -> tuple[str, ...]:
        """Modules for a device with these modaliases, sorted; those that the configuration bars left out."""
        wanted = tuple(modaliases)
        found = {
            module
            for beginning, pattern, module in self.patterns
            for alias in wanted
            if alias.startswith(beginning) and fnmatchcase(alias, pattern)
        }
        return tuple(sorted(m for m in found if m not in self.barred or self.paths.get(m) == BUILT_IN))

    def outside(self, module: str) -> str:
        """How a module came that is not the kernel's own ("DKMS", "updates", "extra"), else empty."""
        path = self.paths.get(module, "")
        if "/dkms/" in f"/{path}":
            return "DKMS"
        return "" if path == BUILT_IN or path.startswith("kernel/") else path.partition("/")[0]

    @property
    def outsiders(self) -> tuple[str, ...]:
        """Modules that are not the kernel's own, sorted."""
        return tuple(sorted(module for module in self.paths if self.outside(module)))


def read_modules(root: Path, folder: Path, command_line: str) -> Modules:
    """The index of the kernel whose modules are in `folder`, below the system mounted at `root`.

    `command_line` is what that kernel is told. Raises DamagedData where there is no index.
    """
    tree, at = Tree(root), f"/{folder.relative_to(root)}"
    aliases = tree.text(f"{at}/modules.alias")
    depends = tree.text(f"{at}/modules.dep")
    if aliases is None or depends is None:
        raise DamagedData(f"{at} has no modules.alias or modules.dep: nobody ran depmod there.")
    paths = {_name(file): file for line in depends.splitlines() if (file := line.partition(":")[0])}
    paths |= {_name(line): BUILT_IN for line in (tree.text(f"{at}/modules.builtin") or "").splitlines()}
    built_in = _built_in_aliases(tree.data(f"{at}/modules.builtin.modinfo") or b"")
    config = tuple(_config(tree))
    barred = frozenset((*_barred(config), *_barred_by(command_line)))
    own = (words for words in map(str.split, aliases.splitlines()) if words[:1] == ["alias"])
    theirs = (words for words in config if words[0] == "alias")
    pairs = [(words[1], words[2]) for words in (*own, *theirs) if len(words) == 3]
    return Modules(tuple(_patterns((*pairs, *built_in))), paths, barred)


def _name(path: str) -> str:
    return _SUFFIX.sub("", path.rpartition("/")[2]).replace("-", "_")


def _patterns(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    for pattern, module in pairs:
        if pattern.startswith(BUSES) and len(pattern) <= LONGEST:
            beginning = _LITERAL.match(pattern)
            yield (beginning[0] if beginning else "", pattern, module.replace("-", "_"))


def _built_in_aliases(content: bytes) -> list[tuple[str, str]]:
    """Records "MODULE.alias=PATTERN", each ended by a zero byte (kernel 5.2 and newer)."""
    found = []
    for record in content.decode(errors="replace").split("\0"):
        key, _, value = record.partition("=")
        module, _, what = key.rpartition(".")
        if what == "alias" and module:
            found.append((value, module))
    return found


def _config(tree: Tree) -> Iterator[list[str]]:
    """The words of every line; of files with one name that of the first folder counts."""
    seen: dict[str, str] = {}
    for folder in CONFIG_FOLDERS:
        for name in tree.names(folder):
            if name.endswith(".conf"):
                seen.setdefault(name, f"{folder}/{name}")
    for _, path in sorted(seen.items()):
        text = (tree.text(path) or "").replace("\\\n", " ")
        for line in text.splitlines():
            words = line.split()
            if words and not words[0].startswith("#"):
                yield words


def _barred(config: Iterable[list[str]]) -> Iterator[str]:
    for words in config:
        listed = words[0] == "blacklist" and len(words) > 1
        if listed or (words[0] == "install" and len(words) > 2 and _BARRED.match(words[2])):
            yield words[1].replace("-", "_")


def _barred_by(command_line: str) -> Iterator[str]:
    for word in command_line.split():
        key, _, value = word.partition("=")
        if key in ("modprobe.blacklist", "module_blacklist"):
            yield from (name.replace("-", "_") for name in value.split(",") if name)
