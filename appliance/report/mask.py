"""Secrets out of what leaves the machine: every text is masked before it is written, and counted."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import msgspec

MASK = "[masked]"

# Bounded repetitions everywhere: a console log may hold lines of a hundred thousand characters.
_WORDS = (
    r"(?:password|passwd|passphrase|passwort|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|credentials?|luks[._-]?key|keyfile|psk|unlock[_-]?key)[\w-]{0,30}(?:\.[\w-]{1,30}){0,3}"
)
_VALUE = r"(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|(?!\[masked\])[^\s<\"']+)"
_KEY = re.compile(_WORDS, re.I)


def _kind(kind: str, pattern: str, into: str = MASK) -> tuple[str, re.Pattern[str], str]:
    return kind, re.compile(pattern, re.I | re.M), into


_KINDS = (
    _kind(
        "private key",
        r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----[\s\S]*?(?:-----END [A-Z0-9 -]*-----|\Z)",
    ),
    _kind("shadow", r"(?<![\w$])\$(?:1|2[abxy]?|5|6|7|y|gy|sha1|argon2id?)\$[./A-Za-z0-9=,$*-]{8,}"),
    _kind("shadow", r"^([a-z_][a-z0-9_-]{0,31}):[./A-Za-z0-9]{13}:(?=\d*:\d*:)", rf"\1:{MASK}:"),
    _kind("address", r"([a-z][a-z0-9+.-]{0,20}://)[^\s/@:<>\"']{0,200}:[^\s/@<>\"']{1,200}@", rf"\1{MASK}@"),
    _kind("address", r"([a-z][a-z0-9+.-]{0,20}://)(?!\[)[^\s/@:<>\"']{16,200}@", rf"\1{MASK}@"),
    _kind(
        "header",
        r"\b((?:proxy-)?authorization|x-(?:api-key|auth-token))(\s*[:=]\s*)[^\r\n<\"']+",
        rf"\1\2{MASK}",
    ),
    _kind("token", r"\b(bearer)(\s+)[\w.~+/-]{8,}=*", rf"\1\2{MASK}"),
    _kind("token", r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
    _kind("token", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\b(?:gh[pousr]_|glpat-|xox[abprs]-|sk-)[\w-]{16,}"),
    _kind("disk key", r"\b((?:rd\.)?luks\.key|cryptsetup\.\w{0,9}pass\w{0,9})=[^\s<\"']+", rf"\1={MASK}"),
    _kind("disk key", r"((?:MK|master key) (?:dump|bits)?:?\s*)(?:[0-9a-f]{2}\s*){16,}", rf"\1{MASK}"),
    _kind("password", r"(\s(?:-u|--user)[ =])[^\s:]{1,100}:[^\s<\"']+", rf"\1{MASK}"),
    _kind("password", rf"(--?(?:password|passphrase|token|secret|pass)[ =]){_VALUE}", rf"\1{MASK}"),
    _kind("password", rf"(\bsshpass\s+-p\s*|\bmysql\S{{0,10}}\s.{{0,200}}?-p){_VALUE}", rf"\1{MASK}"),
    # Directives of well-known daemons (redis, nslcd, slapd, ldap) whose value follows after a space.
    _kind(
        "password", r"^([ \t]*(?:requirepass|masterauth|(?:root)?(?:bind|db|mod)?pw)[ \t]+)\S+", rf"\1{MASK}"
    ),
    _kind("password", rf"({_WORDS}[\"']?\s*(?:[:=]|\bis\b)\s*){_VALUE}", rf"\1{MASK}"),
)


class Masks(Counter[str]):
    """How many places were masked, by kind."""

    @property
    def places(self) -> int:
        return sum(self.values())


def mask(text: str, masks: Masks) -> str:
    """`text` without passwords, tokens, keys, password hashes and credentials in addresses."""
    for kind, pattern, into in _KINDS:
        text, count = pattern.subn(into, text)
        if count:
            masks[kind] += count
    return text


def mask_tree(value: Any, masks: Masks) -> Any:
    """The same for every string of decoded JSON; the value of a key that names a secret goes altogether."""
    if isinstance(value, str):
        return mask(value, masks)
    if isinstance(value, list | tuple):
        return [mask_tree(item, masks) for item in value]
    if isinstance(value, dict):
        return {key: _mask_entry(key, item, masks) for key, item in value.items()}
    return value


def _mask_entry(key: str, value: Any, masks: Masks) -> Any:
    if isinstance(value, str) and value and _KEY.search(key):
        masks["password"] += 1
        return MASK
    return mask_tree(value, masks)


def mask_json(data: bytes, masks: Masks) -> bytes:
    """A JSON document, masked string by string, so that it stays one. Raises msgspec.DecodeError."""
    return msgspec.json.format(msgspec.json.encode(mask_tree(msgspec.json.decode(data), masks)), indent=2)


def mask_lines(data: bytes, masks: Masks) -> bytes:
    """JSON lines; a line that is none is masked as text."""
    return b"".join(_line(line, masks) + b"\n" for line in data.splitlines())


def _line(line: bytes, masks: Masks) -> bytes:
    try:
        return msgspec.json.encode(mask_tree(msgspec.json.decode(line), masks))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return mask(line.decode(errors="replace"), masks).encode()
