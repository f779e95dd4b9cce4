"""What is big in the image: a table for whoever wants it smaller."""

from __future__ import annotations

from pathlib import Path

MIB = 1024 * 1024
TOP = 12
# Folders that are told apart one level deeper, since each holds many unrelated things.
DEEPER = ("usr", "usr/lib", "usr/share", "usr/lib/x86_64-linux-gnu", "opt", "opt/twinboot", "var")


def folder_sizes(tree: Path) -> dict[str, int]:
    """Bytes of content by folder or large file, relative to `tree`; links count nothing."""
    totals: dict[str, int] = {}
    for path in tree.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        key = _group(path.relative_to(tree).parts)
        totals[key] = totals.get(key, 0) + path.stat().st_size
    return totals


def _group(parts: tuple[str, ...]) -> str:
    """The name a file is counted under: as deep as DEEPER says."""
    depth = 1
    while depth < len(parts) and "/".join(parts[:depth]) in DEEPER:
        depth += 1
    return "/".join(parts[:depth])


def table(tree: Path, outputs: list[tuple[str, Path, int | None]]) -> str:
    """Text: the outputs as (name, file, limit in MB or None), then the biggest folders of the root."""
    rows = ["", f"{'output':<44}{'MB':>8}  target"]
    for name, path, limit in outputs:
        size = path.stat().st_size / 1e6
        note = "" if limit is None else f"<= {limit}" + ("" if size <= limit else "  TOO BIG")
        rows.append(f"{name:<44}{size:>8.1f}  {note}")
    rows += ["", f"{'biggest in the root (unpacked)':<44}{'MiB':>8}"]
    biggest = sorted(folder_sizes(tree).items(), key=lambda item: item[1], reverse=True)
    rows += [f"{name:<44}{size / MIB:>8.1f}" for name, size in biggest[:TOP]]
    return "\n".join(rows)
