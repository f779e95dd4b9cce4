"""The record as one self-contained HTML file: no script, nothing fetched, fit for paper."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import jinja2

from appliance.model.plain import plain
from appliance.model.verdict import ChangeKind, FileChange, Outcome, Verdict
from appliance.report.record import Record
from appliance.report.words import clock, counts, duration, labels, package_marks, size

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,  # every name and every line of a guest is hostile text
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=lambda value: _plain_lines(value) if isinstance(value, str) else value,
)
_ENVIRONMENT.filters.update(
    clock=clock, duration=duration, size=size, labels=labels, counts=counts, marks=package_marks
)


def _plain_lines(text: str) -> str:
    """Escape sequences and direction characters gone, line ends kept; markup made by us stays markup."""
    if hasattr(text, "__html__"):
        return text
    return "\n".join(plain(line) for line in text.split("\n"))


def render_html(record: Record, folder: Path | None = None) -> str:
    """One page of UTF-8 HTML. The record's texts appear as text, whatever they hold.

    Pictures that lie in `folder` are in the page; what is no PNG there is left out.
    """
    template = _ENVIRONMENT.get_template("report.html.j2")
    pictures = _pictures(record, folder) if folder is not None else []
    return template.render(
        record=record, verdict=record.verdict, pictures=pictures, **_sorted(record.verdict)
    )


def _pictures(record: Record, folder: Path) -> list[tuple[str, str]]:
    """(file name, base64 of the PNG) of each picture that can be read."""
    found = []
    for picture in record.pictures:
        path = folder / picture.file
        try:
            data = path.read_bytes() if path.resolve().is_relative_to(folder.resolve()) else b""
        except OSError:
            continue
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            found.append((path.name, base64.b64encode(data).decode()))
    return found


def _sorted(verdict: Verdict | None) -> dict[str, Any]:
    checks = verdict.checks if verdict else ()
    files = verdict.files if verdict else ()
    return {
        "worse": [c for c in checks if c.outcome is Outcome.WORSE],
        "untested": [c for c in checks if c.outcome is Outcome.NOT_TESTED],
        "same": [c for c in checks if c.outcome is Outcome.SAME],
        "unexplained": [f for f in files if f.kind is ChangeKind.UNEXPLAINED],
        "by_package": _grouped([f for f in files if f.kind is ChangeKind.PACKAGE]),
        "expected": _grouped([f for f in files if f.kind is ChangeKind.EXPECTED]),
    }


def _grouped(files: list[FileChange]) -> list[tuple[str, list[FileChange]]]:
    """(who, files) with the largest group first."""
    found: dict[str, list[FileChange]] = {}
    for file in files:
        found.setdefault(file.by, []).append(file)
    return sorted(found.items(), key=lambda group: (-len(group[1]), group[0]))
