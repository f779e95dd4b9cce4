"""Type 1 entries of the Boot Loader Specification, as each of their two readers takes them. Pure.

Sources: the UAPI group's Boot Loader Specification; systemd-boot's boot.c; the blscfg command of Fedora's and
RHEL's GRUB (blscfg.c) and of GRUB's own from 2.14 on (blsuki.c). The readers pass over what they do not know,
and so does this one: no text raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from appliance.probe.debversion import turns

ENTRIES = "loader/entries"
"""The folder of the entries, below the root of the file system that holds them."""
ARCHITECTURE = "x64"
COUNTER_LIMIT = (1 << 31) - 1
KINDS = ("linux", "efi", "uki", "uki-url")


class Line(msgspec.Struct, frozen=True):
    """One line: `raw` with its own line end, so that the lines of a file joined are the file.

    `key` is empty for a comment and for a line without a value.
    """

    raw: str
    key: str = ""
    value: str = ""


class Name(msgspec.Struct, frozen=True, kw_only=True):
    """A file name taken apart: "debian-6.1+2-1.conf" is `stem` "debian-6.1", 2 tries left, 1 done.

    `left` and `done` are None where the name has no counter: such an entry is not counted.
    """

    stem: str
    left: int | None = None
    done: int | None = None


class BlsEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `file` is its name on the disk, `name` the same taken apart.

    `linux`, `initrds` and `efi` (which also holds what a uki line names) are paths from the root of the file
    system that holds the entry, as they are written; `options` is the kernel command line. `kernel` is the
    kernel's release where `file` is a unified image and says it (unified.py): `version` is another then.
    """

    file: str
    name: Name
    title: str = ""
    version: str = ""
    machine_id: str = ""
    sort_key: str = ""
    linux: str = ""
    initrds: tuple[str, ...] = ()
    options: str = ""
    efi: str = ""
    kernel: str = ""

    @property
    def is_image(self) -> bool:
        """Whether it is a unified image that the loader found by itself (type 2)."""
        return self.file.lower().endswith(".efi")

    @property
    def id(self) -> str:
        """What systemd-boot calls the entry (`bootctl list`, LoaderEntryOneShot): no counter, lower case."""
        return f"{self.name.stem}{'.efi' if self.is_image else '.conf'}".lower()

    @property
    def release(self) -> str:
        """The kernel's release; empty where the entry does not say."""
        return self.kernel if self.is_image else self.version

    @property
    def shown(self) -> str:
        """What the menu shows."""
        return self.title or self.name.stem


def parse_lines(text: str) -> tuple[Line, ...]:
    """Every line with its key and value; both readers split at blanks and tabs."""
    return tuple(_line(raw) for raw in re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text))


def _line(raw: str) -> Line:
    found = re.fullmatch(r"[ \t]*([^ \t#][^ \t]*)[ \t]+(.*?)[ \t]*", raw.rstrip("\r\n"))
    return Line(raw, found[1], found[2]) if found and found[2] else Line(raw)


def parse_name(file: str) -> Name:
    """A name of loader/entries or, with .efi, of EFI/Linux; the last "+" begins the counter."""
    stem = re.sub(r"\.(?:conf|efi)\Z", "", file, flags=re.IGNORECASE)
    found = re.fullmatch(r"(.*)\+([0-9]+)(?:-([0-9]+))?", stem, re.DOTALL)
    if found is None:
        return Name(stem=stem)
    left, done = (int(digits.lstrip("0")[:11] or "0") for digits in (found[2], found[3] or ""))
    if max(left, done) > COUNTER_LIMIT:
        return Name(stem=stem)
    return Name(stem=found[1], left=left, done=done)


def for_systemd_boot(file: str, text: str) -> BlsEntry | None:
    """The entry as systemd-boot takes it: the last line of a key counts, options lines are joined, one pair
    of quotes goes.

    None where it would show none: a name it does not look into, nothing to start, two kinds at once, or
    another architecture.
    """
    pairs = [(line.key, _unquoted(line.value)) for line in parse_lines(text) if line.key]
    kinds = {key for key, _ in pairs if key in KINDS}
    others = {value.lower() for key, value in pairs if key == "architecture"} - {ARCHITECTURE}
    low = file.lower()
    if not low.endswith(".conf") or low.startswith((".", "auto-")) or len(kinds) != 1 or others:
        return None
    options = " ".join(value for key, value in pairs if key == "options")
    return _entry(file, parse_name(file), pairs, dict(pairs), options)


def for_grub(file: str, text: str, environment: dict[str, str]) -> BlsEntry | None:
    """The entry as blscfg takes it: the first line of a key counts, the first line without a value ends it,
    and `$kernelopts`, `$tuned_params`, `$tuned_initrd` are filled from `environment`.

    Without options `default_kernelopts` stands in. None where no kernel is named: GRUB knows no other kind.
    """
    if not file.endswith(".conf") or file.startswith(".") or len(file) < 6:
        return None
    pairs: list[tuple[str, str]] = []
    for line in parse_lines(text):
        if not line.key and not line.raw.lstrip(" \t").startswith("#"):
            break
        pairs += [(line.key, line.value)] if line.key else []
    first = dict(reversed(pairs))
    if "linux" not in first:
        return None
    first.setdefault("options", "$default_kernelopts")
    filled = {"options", "initrd"}
    pairs = [(key, _filled(value, environment) if key in filled else value) for key, value in pairs]
    options = " ".join(_filled(first["options"], environment).split())
    return _entry(file, Name(stem=file.removesuffix(".conf")), pairs, first, options)


def _filled(value: str, environment: dict[str, str]) -> str:
    return re.sub(r"\$([A-Za-z0-9_]*)", lambda found: environment.get(found[1], ""), value)


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def _entry(
    file: str, name: Name, pairs: list[tuple[str, str]], said: dict[str, str], options: str
) -> BlsEntry:
    return BlsEntry(
        file=file,
        name=name,
        title=said.get("title", ""),
        version=said.get("version", ""),
        machine_id=said.get("machine-id", ""),
        sort_key=said.get("sort-key", ""),
        linux=said.get("linux", ""),
        initrds=tuple(word for key, value in pairs if key == "initrd" for word in value.split()),
        options=options,
        efi=said.get("efi", "") or said.get("uki", "") or said.get("uki-url", ""),
    )


def in_grub_order(entries: Iterable[BlsEntry]) -> tuple[BlsEntry, ...]:
    """As blscfg lists them: by file name read as name-version-release in RPM's order, the newest first.

    Of two names that compare equal the first one read is shown, as there.
    """
    first: dict[object, BlsEntry] = {}
    for entry in entries:
        first.setdefault(_nvr_key(entry.name.stem), entry)
    return tuple(sorted(first.values(), key=lambda entry: _nvr_key(entry.name.stem), reverse=True))


def _nvr_key(stem: str) -> tuple[tuple[tuple[int, int, str], ...], ...]:
    parts = (*stem.rsplit("-", 2), "", "")[:3]
    return tuple(map(_rpm_key, parts))


def _rpm_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """RPM's version order: a tilde before the end, the end before letters, letters before numbers."""
    turns = []
    for word in re.findall(r"~|[0-9]+|[A-Za-z]+", text):
        digits = word.lstrip("0")
        kind = 0 if word == "~" else 3 if word[0].isdigit() else 2
        turns.append((kind, len(digits), digits) if kind == 3 else (kind, 0, word))
    return (*turns, (1, 0, ""))


def in_upstream_order(entries: Iterable[BlsEntry]) -> tuple[BlsEntry, ...]:
    """As blscfg of GRUB 2.14 lists them: by file name in gnulib's filevercmp order, the newest first."""
    return tuple(sorted(entries, key=lambda entry: _file_key(entry.file), reverse=True))


def _file_key(file: str) -> tuple[tuple[tuple[tuple[int, ...], int], ...], str]:
    """Turns of letters and digits as in Debian's order, of the name without its last suffixes."""
    plain = re.sub(r"(?:\.[A-Za-z~][A-Za-z0-9~]*)*\Z", "", file)
    return tuple(turns(plain)), file


def in_systemd_boot_order(entries: Iterable[BlsEntry]) -> tuple[BlsEntry, ...]:
    """As systemd-boot's menu lists them (boot_entry_compare): out of tries last; with a sort-key before
    without one; then by sort-key, machine, newest version, newest name, most tries left."""
    newest_name = sorted(entries, key=lambda e: (-(e.name.left or 0), e.name.done or 0))
    newest_name.sort(key=lambda e: version_key(e.id), reverse=True)
    newest_name.sort(key=lambda e: version_key(e.version) if e.sort_key else (), reverse=True)
    newest_name.sort(key=lambda e: (e.sort_key, e.machine_id) if e.sort_key else ("", ""))
    return tuple(sorted(newest_name, key=lambda e: (e.name.left == 0, not e.sort_key)))


_TURN = re.compile(r"[^A-Za-z0-9~^.-]*(~?)(-?)(\^?)(\.?)([0-9]+|[A-Za-z]*)")
Turn = tuple[int, int, int, int, int, int, int, str]


def version_key(text: str) -> tuple[Turn, ...]:
    """The order of versions of the UAPI group's Version Format Specification, which systemd-boot sorts by.

    Each turn is what may stand before a segment (~ - ^ . each make it older) and the segment; numbers are
    newer than letters, and a text that goes on is newer than one that ends.
    """
    turns: list[Turn] = []
    for found in _TURN.finditer(text):
        tilde, dash, caret, dot, segment = found.groups()
        if found.end(1) == len(text):
            turns.append((not tilde, 0, 0, 0, 0, 0, 0, ""))
            break
        number = segment[:1].isdigit()
        shown = segment.lstrip("0") if number else segment
        length = len(shown) if number else 0
        turns.append((not tilde, 1, not dash, not caret, not dot, number, length, shown))
    return tuple(turns)
