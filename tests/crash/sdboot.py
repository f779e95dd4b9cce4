"""systemd-boot as its documentation has it: which entry an unattended start takes, and what it writes first.

Written after systemd-boot(7), loader.conf(5), the Boot Loader and Version Format Specifications,
AUTOMATIC_BOOT_ASSESSMENT and LOADER_INTERFACE, on its own: nothing of the appliance's reader is used.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.crash.grubscript import Loaded
from tests.crash.tinyimage import sections_of, started

Read = Callable[[str], bytes | None]


@dataclass
class Item:
    """One entry of the menu."""

    file: str
    keys: dict[str, str]
    initrds: list[str]
    options: str

    @functools.cached_property
    def counter(self) -> tuple[str, int | None, int]:
        """(name without counter, tries left, tries done)."""
        found = re.fullmatch(r"(.*)\+(\d+)(?:-(\d+))?(\.conf|\.efi)", self.file, re.I)
        return (found[1] + found[4], int(found[2]), int(found[3] or 0)) if found else (self.file, None, 0)

    @property
    def id(self) -> str:
        return self.counter[0].lower()

    @property
    def path(self) -> str:
        return _path(self.keys.get("linux") or self.keys["efi"])


@dataclass
class SdBoot:
    """One start. `read` and `names` are what the firmware's FAT driver finds; `variables` and `renames` are
    what the loader leaves behind. `locked`: firmware that refuses to clear a variable."""

    read: Read
    names: Callable[[str], tuple[str, ...]]
    variables: dict[str, str]
    locked: bool = False
    renames: list[tuple[str, str]] = field(default_factory=list)
    menu: list[Item] = field(default_factory=list)

    def start(self) -> Loaded:
        once = self.variables.get("LoaderEntryOneShot")
        if once is not None and not self.locked:
            del self.variables["LoaderEntryOneShot"]
        self.menu = sorted(self._items(), key=functools.cmp_to_key(_compare))
        item = self._choose(once)
        if item is None:
            return Loaded()
        self._count(item)
        kernel = self.read(item.path) or b""
        if "linux" not in item.keys:
            return started(kernel, item.options)
        initrds = [self.read(_path(path)) for path in item.initrds]
        if not kernel or None in initrds:
            return Loaded()  # "Error loading": the loader stops in its menu
        return Loaded(kernel=kernel, line=item.options, initrd=b"".join(data or b"" for data in initrds))

    def _items(self) -> list[Item]:
        out = []
        for file in self.names("loader/entries"):
            low = file.lower()
            if not low.endswith(".conf") or low.startswith((".", "auto-")):
                continue
            item = _item(file, (self.read(f"loader/entries/{file}") or b"").decode("utf-8", "replace"))
            # What it names must be there: an entry without its kernel is left out (config_entry_add_type1).
            if item is not None and self.read(item.path) is not None:
                out.append(item)
        images = (file for file in self.names("EFI/Linux") if file.lower().endswith(".efi"))
        made = (_image(file, self.read(f"EFI/Linux/{file}") or b"") for file in images)
        return [*out, *(item for item in made if item is not None)]

    def _choose(self, once: str | None) -> Item | None:
        conf = (self.read("loader/loader.conf") or b"").decode("utf-8", "replace")
        default = ""
        for line in conf.splitlines():
            key, _, value = line.strip().partition(" ")
            default = value.strip() if key == "default" else default
        for pattern in (once, self.variables.get("LoaderEntryDefault"), default):
            for item in self.menu if pattern else ():
                if fnmatch.fnmatchcase(item.id, str(pattern).lower()):
                    return item
        return self.menu[0] if self.menu else None

    def _count(self, item: Item) -> None:
        stem, left, done = item.counter
        if left is not None:
            name = f"{stem.removesuffix('.conf')}+{max(left - 1, 0)}-{done + 1}.conf"
            self.renames.append((f"loader/entries/{item.file}", f"loader/entries/{name}"))


def _item(file: str, text: str) -> Item | None:
    keys: dict[str, str] = {}
    initrds, options = [], []
    for line in text.splitlines():
        key, _, value = line.strip().replace("\t", " ").partition(" ")
        value = value.strip()
        if not value or key.startswith("#"):
            continue
        initrds += [value] if key == "initrd" else []
        options += [value] if key == "options" else []
        keys[key] = value
    return Item(file, keys, initrds, " ".join(options)) if {"linux", "efi"} & set(keys) else None


def _image(file: str, data: bytes) -> Item | None:
    """An entry of type 2; its command line stays inside."""
    found = sections_of(data)
    if found is None or not {".osrel", ".linux"} <= set(found):
        return None
    said = dict(re.findall(r'^(\w+)="?(.*?)"?$', found[".osrel"].decode(), re.M))
    keys = {"efi": f"/EFI/Linux/{file}", "sort-key": said["ID"], "version": said["VERSION"]}
    return Item(file, keys, [], "")


def _path(text: str) -> str:
    return text.lstrip("/")


def _compare(a: Item, b: Item) -> int:
    """Negative where `a` stands above `b`."""
    for order in (
        _cmp(a.counter[1] == 0, b.counter[1] == 0),
        _cmp("sort-key" not in a.keys, "sort-key" not in b.keys),
    ):
        if order:
            return order
    if "sort-key" in a.keys and "sort-key" in b.keys:
        for key in ("sort-key", "machine-id"):
            if order := _cmp(a.keys.get(key, ""), b.keys.get(key, "")):
                return order
        if order := -versions(a.keys.get("version", ""), b.keys.get("version", "")):
            return order
    if order := -versions(a.id, b.id):
        return order
    if a.counter[1] is None or b.counter[1] is None:
        return 0
    return -_cmp(a.counter[1], b.counter[1]) or _cmp(a.counter[2], b.counter[2])


def _cmp(a: object, b: object) -> int:
    return (a > b) - (a < b)  # type: ignore[operator]


def versions(a: str, b: str) -> int:
    """The Version Format Specification's comparison, rule by rule."""
    while a or b:
        a, b = (re.sub(r"\A[^A-Za-z0-9~^.-]+", "", text) for text in (a, b))
        if a.startswith("~") or b.startswith("~"):  # a pre-release is older
            if order := _cmp(not a.startswith("~"), not b.startswith("~")):
                return order
            a, b = a[1:], b[1:]
            continue
        if not a or not b:
            return _cmp(bool(a), bool(b))
        for mark in "-^.":
            if a.startswith(mark) or b.startswith(mark):
                if order := _cmp(not a.startswith(mark), not b.startswith(mark)):
                    return order
                a, b = a[1:], b[1:]
        if a[:1].isdigit() or b[:1].isdigit():
            x, y = (re.match(r"\d*", text)[0] for text in (a, b))  # type: ignore[index]
            if order := _cmp(bool(x), bool(y)) or _cmp(int(x or 0), int(y or 0)):
                return order
        else:
            x, y = (re.match(r"[A-Za-z]*", text)[0] for text in (a, b))  # type: ignore[index]
            if order := _cmp(x, y):
                return order
        a, b = a[len(x) :], b[len(y) :]
    return 0
