"""GRUB's script language, as much of it as grub.cfg, custom.cfg and our entries use, over any file reader.

An oracle for thousands of disk states; tests/crash/test_grubscript.py holds it against GRUB itself. What it
does not know raises, so that a change of the texts cannot slip past it.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Reader = Callable[[str], "bytes | None"]
SIGNATURE = b"# GRUB Environment Block\n"
_IGNORED = {
    "insmod", "echo", "export", "terminal_input", "terminal_output", "serial", "load_video", "gfxmode",
    "savedefault", "true",
}  # fmt: skip
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z0-9_]+)\}|([A-Za-z0-9_]+))")


@dataclass
class Choice:
    """A menu entry with the lines inside."""

    title: str
    id: str
    lines: list[str]


@dataclass
class Loaded:
    """What an entry came to load: the bytes of kernel and initrd, and the command line."""

    kernel: bytes = b""
    initrd: bytes = b""
    line: str = ""
    kernel_path: str = ""


@dataclass
class Grub:
    """One start of GRUB. `read` gives files by path relative to /boot; `writes` collects save_env.

    `disks` are file systems that a search finds, by UUID: what lies on one begins with its name and a slash.
    `bls` are the names that files of loader/entries may have, as blscfg lists them.
    """

    read: Reader
    writable: bool = True
    disks: dict[str, str] = field(default_factory=dict)
    bls: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    menu: list[Choice] = field(default_factory=list)
    writes: dict[str, bytes] = field(default_factory=dict)
    loaded: Loaded = field(default_factory=Loaded)
    _skipping: int = 0

    def start(self) -> Loaded:
        """Run grub.cfg, then the default entry. An empty Loaded: a prompt, nothing was started."""
        self.variables |= {"prefix": "(d)/grub", "config_directory": "(d)/grub", "root": "d"}
        self.variables |= {"feature_menuentry_id": "y", "feature_timeout_style": "y", "grub_platform": "pc"}
        config = self._file("(d)/grub/grub.cfg")
        if config is None:
            return Loaded()
        self._run(config)
        entry = self._default()
        if entry is not None:
            self._run_lines(entry.lines)
        return self.loaded if self.loaded.kernel else Loaded()

    def _default(self) -> Choice | None:
        """The entry `default` names by number, id or title; "a>b" is b in the submenu a (GRUB manual). What
        begins with a digit is a number, one too large is the first (menu.c: get_entry_number, run_menu)."""
        wanted, _, inner = self.variables.get("default", "0").partition(">")
        if number := re.match(r"[0-9]+", wanted):
            at = int(number[0]) if int(number[0]) < len(self.menu) else 0
            found = self.menu[at] if self.menu else None
        else:
            first = self.menu[0] if self.menu else None
            found = next((c for c in self.menu if wanted in (c.id, c.title)), first)
        if found is None or not inner:
            return found
        self.menu, self.variables["default"] = [], inner
        self._run_lines(found.lines)
        return self._default()

    def _file(self, path: str) -> bytes | None:
        name = self._name(path)
        return self.writes.get(name, self.read(name))

    def _name(self, path: str) -> str:
        device, _, plain = path.removeprefix("(").partition(")") if path.startswith("(") else ("", "", path)
        parts = [device] if device in self.disks.values() else []
        for part in plain.split("/"):
            if part == "..":
                parts.pop()
            elif part:
                parts.append(part)
        return "/".join(parts)

    def _expanded(self, text: str) -> str:
        return _VARIABLE.sub(lambda m: self.variables.get(m[1] or m[2], ""), text)

    def _words(self, text: str) -> list[str]:
        """Split as GRUB does: variables expand outside single quotes."""
        lexer = shlex.shlex(text, posix=False, punctuation_chars=False)
        lexer.whitespace_split, lexer.commenters = True, ""
        out = []
        for word in lexer:
            if word.startswith("'") and word.endswith("'"):
                out.append(word[1:-1])
            elif word.startswith('"') and word.endswith('"'):
                out.append(self._expanded(word[1:-1]))
            else:
                out.append(self._expanded(word.replace('"', "")))
        return out

    def _run(self, data: bytes) -> None:
        self._run_lines(data.decode("utf-8", "replace").splitlines())

    def _run_lines(self, lines: list[str]) -> None:
        self._block(iter([part for line in lines for part in _statements(line)]), running=True)

    def _block(self, lines: Iterator[str], running: bool, ends: tuple[str, ...] = ()) -> str:
        """Run up to one of `ends`; returns the line that ended it."""
        for line in lines:
            word = line.split(None, 1)[0] if line else ""
            if word in ends:
                return line
            if word == "if":
                self._if(lines, line, running)
            elif word in ("menuentry", "submenu", "function"):
                self._entry(lines, line, running)
            elif word and not word.startswith("#") and running:
                self._command(line)
        return ""

    def _if(self, lines: Iterator[str], line: str, running: bool) -> None:
        taken = False
        while True:
            word, _, condition = line.partition(" ")
            if word in ("if", "elif"):
                here = running and not taken and self._command(condition)
            else:
                here = running and not taken
            taken = taken or here
            line = self._block(lines, here, ("then", "elif", "else", "fi"))
            if line.startswith("then"):
                line = self._block(lines, here, ("elif", "else", "fi"))
            if line.startswith("fi") or not line:
                return

    def _entry(self, lines: Iterator[str], line: str, running: bool) -> None:
        inner: list[str] = []
        depth = 1
        for part in lines:
            depth += part.endswith("{")
            depth -= part == "}"
            if depth == 0:
                break
            inner.append(part)
        if not running or line.startswith("function"):
            return
        words = self._words(line.rstrip("{ "))
        id = next((b for a, b in itertools.pairwise(words) if a == "--id"), "")
        self.menu.append(Choice(words[1], id, inner))

    def _command(self, line: str) -> bool:
        words = self._words(line)
        name, arguments = words[0], words[1:]
        if name == "[":
            return self._test(arguments[:-1])
        if name == "set" or "=" in name:
            key, _, value = (arguments[0] if name == "set" else name).partition("=")
            self.variables[key] = value
            return True
        if name in ("load_env", "save_env", "search", "source", "linux", "initrd", "blscfg"):
            return bool(getattr(self, f"_{name}")(arguments))
        if name == "loadfont":
            return False
        if name in _IGNORED:
            return True
        raise AssertionError(f"unknown to the oracle: {line}")

    def _test(self, words: list[str]) -> bool:
        if "-o" in words:
            at = words.index("-o")
            return self._test(words[:at]) or self._test(words[at + 1 :])
        if "-a" in words:
            at = words.index("-a")
            return self._test(words[:at]) and self._test(words[at + 1 :])
        if len(words) == 3 and words[1] in ("=", "!="):
            return (words[0] == words[2]) == (words[1] == "=")
        if words and words[0] in ("-f", "-s"):
            data = self._file(words[1])
            return data is not None and (words[0] == "-f" or len(data) > 0)
        if words and words[0] in ("-n", "-z"):
            return bool("".join(words[1:])) == (words[0] == "-n")
        return bool("".join(words))

    def _env_file(self, words: list[str]) -> tuple[str, list[str]]:
        if words[:1] == ["--file"]:
            return words[1], words[2:]
        return "(d)/grub/grubenv", words

    def _load_env(self, words: list[str]) -> bool:
        path, names = self._env_file(words)
        data = self._file(path)
        if data is None or not data.startswith(SIGNATURE):
            return False
        for line in data.decode("latin-1").split("\n"):
            key, mark, value = line.partition("=")
            if mark and not line.startswith("#") and (not names or key in names):
                self.variables[key] = value
        return True

    def _save_env(self, words: list[str]) -> bool:
        path, names = self._env_file(words)
        data = self._file(path)
        if data is None or not data.startswith(SIGNATURE) or not self.writable:
            return False
        lines = data.rstrip(b"#").decode("latin-1").split("\n")
        for name in names:
            lines = [x for x in lines if not x.startswith(f"{name}=")]
            lines.insert(len(lines) - 1, f"{name}={self.variables.get(name, '')}")
        self.writes[self._name(path)] = "\n".join(lines).encode("latin-1").ljust(len(data), b"#")
        return True

    def _search(self, words: list[str]) -> bool:
        """The root is where /boot is, whatever the search for it says."""
        variable = next(word.removeprefix("--set=") for word in words if word.startswith("--set="))
        if variable == "root":
            return True
        found = self.disks.get(words[-1])
        self.variables[variable] = found or ""
        return found is not None

    def _source(self, words: list[str]) -> bool:
        data = self._file(words[0])
        if data is None:
            return False
        self._run(data)
        return True

    def _blscfg(self, words: list[str]) -> bool:
        """GRUB 2.14's blsuki.c, for entries without variables in what matters."""
        assert not words, "its words are unknown to the oracle"
        for name in self.bls:
            data = self._file(f"(d)/loader/entries/{name}")
            pairs = [line.split(None, 1) for line in (data or b"").decode("latin-1").splitlines()]
            said = dict(reversed([(p[0], p[1]) for p in pairs if len(p) == 2]))
            if "linux" not in said:
                continue
            lines = [f"linux {said['linux']} {said.get('options', '')}"]
            lines += [f"initrd {said['initrd']}"] if "initrd" in said else []
            self.menu.append(Choice(said.get("title", said["linux"]), name.removesuffix(".conf"), lines))
        return True

    def _linux(self, words: list[str]) -> bool:
        path = words[0] if words[0].startswith("(") else "(d)" + words[0]
        data = self._file(path)
        if not data or b"HdrS" not in data[:1024]:
            return False
        self.loaded = Loaded(data, b"", " ".join(words[1:]), self._name(path))
        return True

    def _initrd(self, words: list[str]) -> bool:
        path = words[0] if words[0].startswith("(") else "(d)" + words[0]
        data = self._file(path)
        if data is None or not self.loaded.kernel:
            self.loaded = Loaded()  # an entry whose last command failed is not started
            return False
        self.loaded.initrd = data
        return True


def _statements(line: str) -> list[str]:
    """A line split at `;` outside quotes, stripped."""
    if line.lstrip().startswith("#"):
        return []
    out, quote, word = [], "", ""
    for char in line.strip():
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == ";":
            out.append(word.strip())
            word = ""
            continue
        word += char
    out.append(word.strip())
    return [part for statement in out for part in _then(statement) if part]


def _then(statement: str) -> list[str]:
    """`then X` on one line is `then` and `X`."""
    head, _, rest = statement.partition(" ")
    return [head, *_then(rest)] if head in ("then", "else") and rest else [statement]
