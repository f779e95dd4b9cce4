"""The fact collector's lines as Facts. A guest's words are hostile: bounded, made plain, checked."""

from __future__ import annotations

from appliance.errors import DamagedData
from appliance.model.plain import plain
from appliance.model.verdict import Facts, SiteCheck

SCHEMA = "1"
MAX_BYTES = 16 * 1024 * 1024
MAX_LINES = 200_000
MAX_WORD = 4096
MAX_OUTPUT = 8192

Row = list[str]


def parse(raw: bytes) -> Facts:
    """Raises DamagedData where the text is cut short, of another version, or names no target or kernel."""
    if len(raw) > MAX_BYTES or raw.count(b"\n") > MAX_LINES:
        raise DamagedData("The twin's facts are too long to be facts.")
    rows: dict[str, list[Row]] = {}
    last = ""
    for line in raw.split(b"\n"):
        if line:
            words = [plain(word[:MAX_WORD]) for word in line.decode(errors="replace").split("\t")]
            last = words[0]
            rows.setdefault(last, []).append(words[1:])
    if last != "end":
        raise DamagedData("The twin's facts are cut short: their last line is missing.")
    if _one(rows, "schema") != SCHEMA:
        raise DamagedData(f"The twin's facts are of version {_one(rows, 'schema')!r}, not {SCHEMA}.")
    return Facts(
        target=_needed(rows, "target"),
        target_reached=_one(rows, "reached") == "yes",
        kernel=_needed(rows, "kernel"),
        root=_one(rows, "root"),
        command_line=_one(rows, "cmdline"),
        boot_seconds=_boot_seconds(rows),
        failed_units=_names(rows, "failed"),
        active_services=_names(rows, "service"),
        sockets=_joined(rows, "socket", 3),
        mounts=_joined(rows, "mount", 3),
        half_configured=_half(rows),
        kernel_errors=tuple(dict.fromkeys(" ".join(r) for r in rows.get("kerr", []) if r)),
        disk_free=tuple(sorted((r[0], _int(r[1]) * 1024) for r in rows.get("free", []) if len(r) == 2)),
        packages=_packages(rows),
        site_checks=_site(rows),
        quiet_units=tuple(sorted({r[0] for r in rows.get("quiet", []) if r[1:] == ["wanted"]})),
        virtualisation=_one(rows, "virt"),
        settled=_one(rows, "settled") == "yes",
        starting=_names(rows, "starting"),
        restarts=tuple(sorted((r[0], _int(r[1])) for r in rows.get("restarts", []) if len(r) == 2)),
        on_demand=_names(rows, "on-demand"),
        seldom=_names(rows, "seldom"),
        gateways=_names(rows, "gateway"),
    )


def _one(rows: dict[str, list[Row]], key: str) -> str:
    found = rows.get(key) or [[]]
    return found[0][0] if found[0] else ""


def _needed(rows: dict[str, list[Row]], key: str) -> str:
    value = _one(rows, key)
    if not value:
        raise DamagedData(f"The twin's facts name no {key}.")
    return value


def _names(rows: dict[str, list[Row]], key: str) -> tuple[str, ...]:
    return tuple(sorted({r[0] for r in rows.get(key, []) if r and r[0]}))


def _joined(rows: dict[str, list[Row]], key: str, words: int) -> tuple[str, ...]:
    return tuple(sorted({" ".join(r) for r in rows.get(key, []) if len(r) == words}))


def _int(word: str) -> int:
    """0 for what is no number: hostile digits must not make the whole boot unreadable."""
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 18 else 0


def _boot_seconds(rows: dict[str, list[Row]]) -> float:
    """When the target was reached, since the kernel started; the uptime where it was not reached."""
    reached = (rows.get("reached") or [[]])[0]
    entered = _int(reached[1]) if len(reached) > 1 else 0
    return entered / 1e6 if entered else float(_int(_one(rows, "uptime")))


def _present(rows: dict[str, list[Row]]) -> list[Row]:
    """[name, version, state] of packages with files on the disk; state is dpkg's, e.g. "ii " or "iF "."""
    return [r for r in rows.get("package", []) if len(r) == 3 and r[2][1:2] not in ("", "n", "c")]


def _packages(rows: dict[str, list[Row]]) -> tuple[tuple[str, str], ...]:
    """Names lose their architecture where that leaves them unique."""
    present = _present(rows)
    count: dict[str, int] = {}
    for name, _, _ in present:
        bare = name.partition(":")[0]
        count[bare] = count.get(bare, 0) + 1
    return tuple(
        sorted((n.partition(":")[0] if count[n.partition(":")[0]] == 1 else n, v) for n, v, _ in present)
    )


def _half(rows: dict[str, list[Row]]) -> tuple[str, ...]:
    bad = [r for r in _present(rows) if r[2][1:2] != "i" or r[2][2:3].strip()]
    return tuple(sorted(f"{name} {state.strip()}" for name, _, state in bad))


def _site(rows: dict[str, list[Row]]) -> tuple[SiteCheck, ...]:
    output: dict[str, list[str]] = {}
    for row in rows.get("site-output", []):
        if len(row) >= 2:
            output.setdefault(row[0], []).append(" ".join(row[1:]))
    checks = {
        r[1]: SiteCheck(
            name=r[1],
            required=r[0] == "required",
            status=_int(r[2]),
            output="\n".join(output.get(r[1], []))[:MAX_OUTPUT],
        )
        for r in rows.get("site", [])
        if len(r) == 3 and r[2].isdigit()
    }
    return tuple(checks[name] for name in sorted(checks))
