"""LVM's configuration syntax (lvm.conf(5)): names, values, lists and nested sections, read strictly."""

from __future__ import annotations

import re
from collections.abc import Iterator

from appliance.errors import DamagedData

Scalar = str | int | float
Value = Scalar | list[Scalar] | dict[str, "Value"]
Section = dict[str, Value]

MAX_DEPTH = 12
MAX_TEXT = 8 << 20

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<number>-?\d+(?:\.\d+)?(?![\w.+-]))
      | (?P<word>[A-Za-z0-9_.+][A-Za-z0-9_.+/-]*)
      | (?P<mark>[{}=\[\],])""",
    re.VERBOSE,
)


def parse_sections(text: str, source: str = "the volume group's metadata") -> Section:
    """Any text in LVM's configuration syntax as nested dicts. Raises DamagedData with the line number."""
    if len(text) > MAX_TEXT:
        raise DamagedData(f"{source} is {len(text)} characters long: more than LVM ever writes.")
    return _Reader(text, source).section(0, "")


class _Reader:
    """Recursive descent over tokens; `at` is the position in the text for error messages."""

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source
        self.at = 0
        self.tokens = self._tokens()

    def _tokens(self) -> Iterator[tuple[str, str]]:
        while self.at < len(self.text):
            found = _TOKEN.match(self.text, self.at)
            if found is None:
                raise self._wrong(f"{self.text[self.at : self.at + 12]!r} is not understood")
            self.at = found.end()
            if found.lastgroup != "space":
                yield str(found.lastgroup), found.group()
        yield "end", ""

    def _wrong(self, why: str) -> DamagedData:
        line = self.text.count("\n", 0, self.at) + 1
        return DamagedData(f"{self.source}, line {line}: {why}.")

    def section(self, depth: int, name: str) -> Section:
        """Entries up to the closing brace of section `name`, or to the end at depth 0."""
        if depth > MAX_DEPTH:
            raise self._wrong("sections are nested too deep")
        entries: Section = {}
        while True:
            kind, key = next(self.tokens)
            if (depth and key == "}" and kind == "mark") or (not depth and kind == "end"):
                return entries
            if kind not in ("word", "number"):
                raise self._wrong(
                    f"section {name or 'outermost'} is not closed"
                    if kind == "end"
                    else f"{key!r} stands where a name should"
                )
            if key in entries:
                raise self._wrong(f"{key} is given twice")
            kind, mark = next(self.tokens)
            if mark == "{" and kind == "mark":
                entries[key] = self.section(depth + 1, key)
            elif mark == "=" and kind == "mark":
                entries[key] = self._value(key)
            else:
                raise self._wrong(f"{key} is followed by neither = nor {{")

    def _value(self, key: str) -> Value:
        kind, token = next(self.tokens)
        if kind == "mark" and token == "[":
            return self._list(key)
        return self._scalar(kind, token, key)

    def _list(self, key: str) -> list[Scalar]:
        items: list[Scalar] = []
        kind, token = next(self.tokens)
        while (kind, token) != ("mark", "]"):
            items.append(self._scalar(kind, token, key))
            kind, token = next(self.tokens)
            if (kind, token) == ("mark", ","):
                kind, token = next(self.tokens)
            elif (kind, token) != ("mark", "]"):
                raise self._wrong(f"the list {key} lacks a comma or its end")
        return items

    def _scalar(self, kind: str, token: str, key: str) -> Scalar:
        if kind == "string":
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        if kind == "number" and len(token) <= 24:
            return float(token) if "." in token else int(token)
        raise self._wrong(f"{key} has no value that is a number, a string or a list")
