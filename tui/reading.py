"""How a verdict reads: its headline, its tables, the why of one check. Pure: model in, lines out."""

from __future__ import annotations

from appliance.model.verdict import (
    ChangeKind,
    CheckResult,
    ConfigDiff,
    Outcome,
    PackageChange,
    Result,
    Verdict,
)
from tui.look import Line, Row, columns, line, lines, rule
from tui.words import clean, size, wrap

VIEWS = ("checks", "packages", "files", "data", "config")
LIMIT_FROM = 96
"""Columns from which the limits have a column of their own; the selected check's is in its pane as well."""
OUTCOME_STYLES = {Outcome.WORSE: "bad", Outcome.SAME: "good", Outcome.NOT_TESTED: "warn"}
OUTCOME_WORDS = {Outcome.WORSE: "WORSE", Outcome.SAME: "same", Outcome.NOT_TESTED: "NOT TESTED"}


def outcome_counts(verdict: Verdict) -> str:
    """In a fixed order: "1 worse, 12 same, 3 NOT TESTED"."""
    numbers = {o: sum(c.outcome is o for c in verdict.checks) for o in Outcome}
    worse, same, untested = (numbers[o] for o in (Outcome.WORSE, Outcome.SAME, Outcome.NOT_TESTED))
    return f"{worse} worse, {same} same, {untested} NOT TESTED"


def truth_labels(verdict: Verdict) -> str:
    """Under what conditions it was tested; each label is true or absent."""
    parts = [
        f"twin ran under {verdict.accel}" if verdict.accel else "",
        f"seal {verdict.seal}" if verdict.seal else "",
    ]
    parts.append("proof boot passed" if verdict.proof_boot else "proof boot NOT done")
    return ", ".join(p for p in parts if p)


def top(verdict: Verdict, run: str, view: str, width: int) -> list[Line]:
    style = "good" if verdict.result is Result.PASS else "bad"
    sizes = {
        "checks": len(verdict.checks),
        "packages": len(verdict.packages),
        "files": len(verdict.files),
        "data": len(verdict.data_writes),
        "config": len(verdict.configs),
    }
    tabs = "  ".join(
        f"[{i} {v} {sizes[v]}]" if v == view else f" {i} {v} {sizes[v]} " for i, v in enumerate(VIEWS, 1)
    )
    return [
        line(" ", (f"{run}: {verdict.headline}", style)),
        line(f" {outcome_counts(verdict)}"),
        line(f" {truth_labels(verdict)}"),
        *([line(" ", (f"[!] {verdict.thrown_away}", "warn"))] if verdict.thrown_away else []),
        *(
            [line(" ", ("[!] The patch wrote to data volumes: press 4.", "warn"))]
            if verdict.data_writes
            else []
        ),
        rule(tabs, width),
    ]


def rows_of(verdict: Verdict, view: str, folded: bool, width: int) -> list[Row]:
    match view:
        case "checks":
            return [*_check_rows(verdict, folded, width), *_way_rows(verdict, width)]
        case "packages":
            return _package_rows(verdict, width)
        case "files":
            order = {ChangeKind.UNEXPLAINED: 0, ChangeKind.PACKAGE: 2, ChangeKind.EXPECTED: 1}
            files = sorted(verdict.files, key=lambda f: (order[f.kind], f.path))
            head = Row(columns([(" KIND", 13), ("ACT", 8), ("FILE", 0)], "title"))
            return [head, *(Row(_file_line(f.kind, f.act, f.path, f.by), f.path) for f in files)]
        case "config":
            rows = [Row(columns([(" ACT", 9), ("LINES", 11), ("FILE", 0)], "title"))]
            rows += [Row(_config_line(diff), diff.path) for diff in verdict.configs]
            return rows if verdict.configs else [Row(line(" No configuration file below /etc was changed."))]
        case _:
            rows = []
            for write in verdict.data_writes:
                rows.append(Row(line(f" {write.target}: {size(write.bytes)} written"), write.target))
                rows += [Row(line(f"     {path}")) for path in write.paths[:50]]
            return rows or [Row(line(" The patch wrote to no data volume."))]


def _way_rows(verdict: Verdict, width: int) -> list[Row]:
    """How to make room for a run that can be promoted, below all checks."""
    if not verdict.ways:
        return []
    rows = [Row(line("")), Row(line((" Ways to make room, and their price", "title")))]
    return rows + [Row(line(row)) for way in verdict.ways for row in wrap(way, width - 2, "     ", "   - ")]


def _check_rows(verdict: Verdict, folded: bool, width: int) -> list[Row]:
    order = {Outcome.WORSE: 0, Outcome.NOT_TESTED: 1, Outcome.SAME: 2}
    limit = 15 if width >= LIMIT_FROM else 0
    name = max(30, width - 46 - limit)
    head = [(" RESULT", 11), ("CHECK", name), ("BEFORE", 15), ("AFTER", 15)]
    rows = [Row(columns([*head, ("LIMIT", limit)] if limit else head, "title"))]
    checks = sorted(verdict.checks, key=lambda c: order[c.outcome])
    same = [c for c in checks if c.outcome is Outcome.SAME]
    for check in checks:
        if folded and check.outcome is Outcome.SAME and len(same) > 6 and check not in same[:3]:
            continue
        word = OUTCOME_WORDS[check.outcome]
        cells = [("", 0), (check.name, name), (check.before, 15), (check.after, 15)]
        rest = columns([*cells, (check.limit, limit)] if limit else cells)
        rows.append(Row(((f" {word:10}", OUTCOME_STYLES[check.outcome]), *rest), check.name))
    if folded and len(same) > 6:
        rows.append(Row(line(f"            and {len(same) - 3} more that are the same (F unfolds)")))
    return rows


def _package_rows(verdict: Verdict, width: int) -> list[Row]:
    name = max(24, min(44, width - 56))
    changes = sorted(verdict.packages, key=lambda p: (not p.new_kernel, not p.security, p.name))
    head = Row(columns([(" PACKAGE", name), ("BEFORE", 16), ("", 2), ("AFTER", 16), ("", 0)], "title"))
    rows = [head]
    for change in changes:
        style = "warn" if change.new_kernel else ""
        cells = [
            (" " + change.name, name),
            (change.before or "-", 16),
            ("->", 2),
            (change.after or "removed", 16),
        ]
        marks = (" " + package_marks(change, "sec."), style)
        rows.append(Row((*columns(cells), marks), package_key(change)))
    return rows if changes else [Row(line(" No package was changed."))]


def package_marks(change: PackageChange, security: str = "security") -> str:
    """What is special about a change; `security` is the word where both marks must fit."""
    if change.new_kernel:
        return f"NEW KERNEL {security}" if change.security else "NEW KERNEL"
    return "security" if change.security else ""


def package_line(change: PackageChange, width: int) -> list[Line]:
    """The selected change in full: names and versions are cut in the table."""
    act = f"{change.before or 'new'} -> {change.after or 'removed'}"
    return lines(wrap(f"{change.name}  {act}  {package_marks(change)}", width - 2, "   ", " "))


def package_key(change: PackageChange) -> str:
    return f"{change.name} {change.before} {change.after}"


def _file_line(kind: ChangeKind, act: str, path: str, by: str) -> Line:
    style = "bad" if kind is ChangeKind.UNEXPLAINED else ""
    word = "UNEXPLAINED" if kind is ChangeKind.UNEXPLAINED else kind.value
    return line((f" {word:12} ", style), f"{act:8} {path}{'  (' + by + ')' if by else ''}")


def _config_line(diff: ConfigDiff) -> Line:
    added, removed = changed_lines(diff)
    note = f"  ({diff.note})" if diff.note else ""
    cells = [(f" {diff.act}", 9), (f"+{added} -{removed}" if diff.text else "", 11), (diff.path + note, 0)]
    return columns(cells, "warn" if diff.act == "kept" else "")


def changed_lines(diff: ConfigDiff) -> tuple[int, int]:
    """Lines added and removed; the first two lines of a diff are its header."""
    body = diff.text.splitlines()[2:]
    return sum(row.startswith("+") for row in body), sum(row.startswith("-") for row in body)


def diff_lines(diff: ConfigDiff, width: int) -> list[Line]:
    """One diff to read: + and - say what was added and taken away; long lines go on below."""
    rows: list[Line] = []
    if diff.act == "kept":
        words = "The site's own version stays in force. This is what the package's new version would change."
        rows += lines(wrap(words, width - 2, " "))
    if diff.hidden:
        rows += lines(wrap(f"{diff.hidden} secrets are hidden here.", width - 2, " "), "warn")
    if diff.note:
        rows += lines(wrap(f"{diff.note[:1].upper()}{diff.note[1:]}.", width - 2, " "), "warn")
    for text in diff.text.splitlines()[2:]:
        style = {"+": "good", "-": "bad", "@": "title"}.get(text[:1], "")
        rows += [line((" " + text[i : i + width - 2], style)) for i in range(0, max(1, len(text)), width - 2)]
    return rows


def why_check(check: CheckResult, width: int) -> list[Line]:
    rows = [rule(clean(check.name), width, f"limit {check.limit}" if check.limit else "")]
    if check.outcome is Outcome.SAME and not check.why:
        return [*rows, line(f" Before: {check.before}   After: {check.after}")]
    if check.why:
        rows += lines(wrap(check.why, width - 2, "      ", " Why: "))
    if check.fix:
        rows += lines(wrap(check.fix, width - 2, "      ", " Fix: "))
    return rows


def not_applied(verdict: Verdict, width: int) -> list[str]:
    """What was asked for and is not in the sealed system, with its reason."""
    return [row for text in verdict.not_applied for row in wrap(text, width - 2, "     ", " Not applied: ")]
