"""fstab(5) edited as little as possible: one field of one line, every other byte kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from appliance.boot import rootname
from appliance.errors import BootConfigFailed
from appliance.host.attributes import changeable
from appliance.host.files import write_atomic
from appliance.model.machine import FstabEntry

# Options may be missing (libmount reads such a line); a comment may follow the fields.
_FIELDS = re.compile(
    rb"^([ \t]*)([^\s#]\S*)([ \t]+)(\S+)([ \t]+)(\S+)(?:([ \t]+)([^\s#]\S*))?((?:\s.*)?)$", re.DOTALL
)
# A volume's spec: a device path or a tag; nothing a line could be broken with.
_SPEC = re.compile(r"(?:/dev/[A-Za-z0-9+_.:/-]+|(?:UUID|LABEL|PARTUUID)=[A-Za-z0-9_.-]+)\Z")


def _unescaped(word: bytes) -> str:
    r"""Field text with fstab's octal escapes (\040 is a blank) resolved."""
    return re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8) & 255]), word).decode("utf-8", "replace")


def parse(text: bytes) -> tuple[FstabEntry, ...]:
    """Every entry in order; comments, blank and unreadable lines are left out."""
    out: list[FstabEntry] = []
    for line in text.split(b"\n"):
        found = _FIELDS.match(line)
        if found is None:
            continue
        rest = [int(word) if word.isdigit() else 0 for word in found[9].split()[:2]]
        freq, passno = (*rest, 0, 0)[:2]
        spec, target, fstype, options = (_unescaped(found[n] or b"defaults") for n in (2, 4, 6, 8))
        out.append(
            FstabEntry(spec=spec, target=target, fstype=fstype, options=options, freq=freq, passno=passno)
        )
    return tuple(out)


def with_spec(text: bytes, target: str, spec: str) -> bytes:
    """`text` with the first field of the one line for `target` turned to `spec`.

    Raises BootConfigFailed where no line or more than one line mounts `target`.
    """
    if not _SPEC.match(spec):
        raise BootConfigFailed(f"{spec!r} is not a device for fstab.")
    return _with_field(text, target, spec.encode())


def _with_field(text: bytes, target: str, field: bytes) -> bytes:
    lines = text.split(b"\n")
    number, found = _line_of(lines, target)
    lines[number] = found[1] + field + lines[number][found.end(2) :]
    return b"\n".join(lines)


def _with_part(text: bytes, target: str, part: str) -> bytes:
    """Where the options of `target` name a subvolume, they name `part`; a default subvolume has no name."""
    was = _options(text, target)
    return _with_options(text, target, rootname.with_part(was, part)) if rootname.part_in(was) else text


def _with_first_part(text: bytes, target: str, first: str) -> bytes:
    """The options of `target` name what they named when they were `first`."""
    now, part = _options(text, target), rootname.part_in(first)
    if not part or rootname.part_in(now) == part:
        return text
    ours = rootname.with_part(first, rootname.part_in(now)) == now
    return _with_options(text, target, first if ours else rootname.with_part(now, part))


def _options(text: bytes, target: str) -> str:
    _, found = _line_of(text.split(b"\n"), target)
    return (found[8] or b"").decode("utf-8", "surrogateescape")


def _with_options(text: bytes, target: str, options: str) -> bytes:
    lines = text.split(b"\n")
    number, found = _line_of(lines, target)
    begin, end = found.span(8)
    lines[number] = lines[number][:begin] + options.encode("utf-8", "surrogateescape") + lines[number][end:]
    return b"\n".join(lines)


def _line_of(lines: list[bytes], target: str) -> tuple[int, re.Match[bytes]]:
    matches = ((number, _FIELDS.match(line)) for number, line in enumerate(lines))
    hits = [(number, found) for number, found in matches if found and _unescaped(found[4]) == target]
    if len(hits) != 1:
        raise BootConfigFailed(f"fstab has {len(hits)} lines for {target}; exactly one is needed.")
    return hits[0]


def point(root: Path, specs: Mapping[str, str], first: Path) -> None:
    """Make the line of each target of the system mounted at `root` name its spec; the untouched fstab goes to
    `first`, once. Safe to repeat: the edit always starts from the first-seen text. A spec is as in
    rootname.py: where it names a subvolume the device stays in its own words, as it is the same.
    """
    path = _of(root)
    if not first.exists():
        first.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(first, path.read_bytes())
    _put(path, _with_specs(first.read_bytes(), specs))


def point_on(root: Path, specs: Mapping[str, str]) -> None:
    """The same from the text as it is now, in one write."""
    path = _of(root)
    _put(path, _with_specs(path.read_bytes(), specs))


def turn_back(root: Path, first: Path, targets: Iterable[str] = ("/",)) -> None:
    """Make each target name what it named in `first`, byte for byte, however that is written: the old system
    is gone by then. What an admin wrote into fstab since stays. Safe to repeat."""
    before = first.read_bytes().split(b"\n")
    path = root / "etc/fstab"
    text = path.read_bytes()
    for target in targets:
        _, found = _line_of(before, target)
        text = _with_field(text, target, found[2])
        text = _with_first_part(text, target, (found[8] or b"").decode("utf-8", "surrogateescape"))
    _put(path, text)


def _of(root: Path) -> Path:
    path = root / "etc/fstab"
    if path.is_symlink():
        raise BootConfigFailed("/etc/fstab is a symbolic link; it is not edited.")
    return path


def _with_specs(text: bytes, specs: Mapping[str, str]) -> bytes:
    for target, spec in specs.items():
        if spec.endswith("]"):
            text = _with_part(text, target, rootname.split(spec)[1])
        else:
            text = with_spec(text, target, spec)
    return text


def _put(path: Path, text: bytes) -> None:
    if path.read_bytes() != text:
        with changeable(path):
            write_atomic(path, text, mode=path.stat().st_mode & 0o7777)
