"""The record as plain text: for the CLI, a serial line and the end of `make demo`."""

from __future__ import annotations

import textwrap

from appliance.model.metal import DeviceFate, Fate
from appliance.model.plain import plain
from appliance.model.verdict import (
    ChangeKind,
    CheckResult,
    ConfigDiff,
    Facts,
    Outcome,
    PackageChange,
    Verdict,
)
from appliance.report.record import Record
from appliance.report.words import clock, counts, duration, labels, package_marks

WIDTH = 79


def render_text(record: Record) -> str:
    """At most 79 columns where the names allow it; no control character, whatever the record holds."""
    parts = [_head(record)]
    if record.verdict is not None:
        parts += _verdict(record.verdict)
    parts += [_promises(record), _list("WHAT WAS SAID", record.said), _steps(record)]
    text = "\n\n".join(part for part in parts if part)
    return "\n".join(plain(line).rstrip() for line in text.split("\n")) + "\n"


def _wrap(text: str, indent: str = "  ") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _head(record: Record) -> str:
    machine, system = record.machine, record.plan.system
    lines = [
        f"TWINBOOT  {record.title}",
        f"machine   {machine.vendor} {machine.product}, {machine.identity}, {machine.firmware.value.upper()}",
        f"system    {system.os_name or f'{system.os_id} {system.os_version}'} on {system.root.device}"
        f" ({system.hostname})",
        f"time      {clock(record.started)}, took {duration(record.finished - record.started)}",
    ]
    if record.failure:
        lines.append(f"stopped   {record.failure}")
    return "\n".join(lines)


def _verdict(verdict: Verdict) -> list[str]:
    head = [f"RESULT    {verdict.headline}", f"          {counts(verdict)}", f"labels    {labels(verdict)}"]
    worse = [c for c in verdict.checks if c.outcome is Outcome.WORSE]
    untested = [c for c in verdict.checks if c.outcome is Outcome.NOT_TESTED]
    return [
        "\n".join(head),
        _list("REHEARSED ONLY", (verdict.thrown_away,) if verdict.thrown_away else ()),
        _list("WAYS TO MAKE ROOM, AND THEIR PRICE", verdict.ways),
        _checks("WORSE", worse),
        _checks("NOT TESTED", untested),
        _packages(verdict.packages),
        _list("NOT APPLIED", verdict.not_applied),
        _list("CONFIGURATION FILES KEPT (the new one lies beside the old)", verdict.kept_conffiles),
        _devices(verdict.devices),
        _configs(verdict.configs),
        _files(verdict),
        _data(verdict),
        _boots(verdict.control, verdict.patched),
    ]


def _checks(title: str, checks: list[CheckResult]) -> str:
    if not checks:
        return ""
    lines = [title]
    for check in checks:
        lines.append(f"  {check.name}: {check.before} -> {check.after}")
        lines += [_wrap(text, "      ") for text in (check.why, check.fix) if text]
    return "\n".join(lines)


def _packages(changes: tuple[PackageChange, ...]) -> str:
    if not changes:
        return "PACKAGES  none changed"
    width = min(max(len(c.name) for c in changes), 32)
    lines = [f"PACKAGES  {len(changes)} changed"]
    for c in changes:
        marks = "  ".join(package_marks(c))
        lines.append(f"  {c.name:<{width}}  {c.before or '(new)'} -> {c.after or '(removed)'}  {marks}")
    return "\n".join(lines)


def _list(title: str, entries: tuple[str, ...]) -> str:
    return "\n".join([title, *(_wrap(entry) for entry in entries)]) if entries else ""


def _devices(devices: tuple[DeviceFate, ...]) -> str:
    """Those that are not the same."""
    if not devices:
        return ""
    changed = [device for device in devices if device.fate is not Fate.SAME]
    lines = [f"DEVICES   {len(devices)} with a driver, {len(changed)} not the same in the patched system"]
    for d in changed:
        lines.append(_wrap(f"{d.fate.value}: {d.name} ({d.place}): {d.before or '-'} -> {d.after or '-'}"))
        lines.append(_wrap(d.why, "      "))
    return "\n".join(lines)


def _configs(configs: tuple[ConfigDiff, ...]) -> str:
    """The diffs with long lines whole: they are read with the file beside them. Forty lines of each."""
    lines = ["CONFIGURATION FILES CHANGED (secrets masked before comparing)"] if configs else []
    for config in configs:
        note = f" ({config.note})" if config.note else ""
        lines.append(f"  {config.act:<8} {config.path}{note}")
        shown = config.text.splitlines()[2:]
        lines += [f"      {row}" for row in shown[:40]]
        lines += [f"      ({len(shown) - 40} more lines: see the HTML report)"] if len(shown) > 40 else []
    return "\n".join(lines)


def _files(verdict: Verdict) -> str:
    def number(kind: ChangeKind) -> int:
        return sum(f.kind is kind for f in verdict.files)

    if not verdict.files:
        return ""
    lines = [
        f"FILES     {number(ChangeKind.PACKAGE)} by packages, {number(ChangeKind.EXPECTED)} expected, "
        f"{number(ChangeKind.UNEXPLAINED)} unexplained"
    ]
    unexplained = [f for f in verdict.files if f.kind is ChangeKind.UNEXPLAINED]
    lines += [f"  {f.act:<8} {f.path}" + (f"  ({f.by})" if f.by else "") for f in unexplained[:40]]
    if len(unexplained) > 40:
        lines.append(f"  (and {len(unexplained) - 40} more)")
    return "\n".join(lines)


def _data(verdict: Verdict) -> str:
    if not verdict.data_writes:
        return ""
    lines = ["DATA WRITTEN BY THE PATCH (going back undoes this only with the data)"]
    for write in verdict.data_writes:
        lines.append(f"  {write.target}: {write.bytes // 1024} KiB")
        lines += [f"      {path}" for path in write.paths[:10]]
    return "\n".join(lines)


def _boots(control: Facts | None, patched: Facts | None) -> str:
    rows = ["PROOF OF BOOT"]
    for name, facts in (("control", control), ("patched", patched)):
        if facts is not None:
            reached = "reached" if facts.target_reached else "NOT reached"
            rows.append(
                f"  {name}  kernel {facts.kernel}  root {facts.root}  {facts.target} {reached}"
                f" after {facts.boot_seconds:.0f} s  on {facts.virtualisation or 'metal'}"
            )
    return "\n".join(rows) if len(rows) > 1 else ""


def _promises(record: Record) -> str:
    words = {True: "held", False: "BROKEN", None: "not looked at"}
    rows = [
        f"  {p.name}: {words[p.held]}" + (f" ({p.sentence})" if p.sentence else "") for p in record.promises
    ]
    return "\n".join(["PROMISES", *rows]) if rows else ""


def _steps(record: Record) -> str:
    rows = [f"  {duration(s.seconds) if s.seconds >= 0 else 'not ended':>9}  {s.title}" for s in record.steps]
    return "\n".join(["STEPS", *rows]) if rows else ""
