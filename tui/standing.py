"""Entries, history and space as the page "boot and roll back" shows them. Pure: status in, rows out."""

from __future__ import annotations

from appliance.model.lineage import Node, State
from appliance.model.messages import Status
from appliance.model.standing import BootChoice, DoneAct, PoolRate
from tui import describe
from tui.look import Line, Row, columns, line, lines, rule
from tui.words import count, day, duration, size, wrap

VIEWS = ("volumes", "entries", "history", "space")
ABOUT = {
    "volumes": "Select a volume of a run to see what can be done with it.",
    "entries": "Read from the raw disk as the boot loader reads it, not from what Twinboot remembers. Entries"
    ' that say "left alone" are the machine\'s own and are never changed.',
    "history": "Kept on this machine itself, so that any stick finds it. An export takes it along.",
    "space": "A snapshot grows with what is written to it. Retiring old volumes gives space back.",
}
OUTCOME_STYLES = {"done": "good", "failed": "bad", "damaged record": "bad", "waiting": "warn"}

CAN_PROMOTE = (State.SEALED, State.STAGED)
CAN_ROLL_BACK = (State.ARMED, State.TRIAL, State.KEPT)


def possible(act: str, node: Node | None) -> bool:
    """Which acts are offered; the engine decides whether they are allowed and says why not."""
    if node is None or not node.run:
        return False
    match act:
        case "promote":
            return node.state in CAN_PROMOTE
        case "rollback":
            return node.state in CAN_ROLL_BACK
        case "keep":
            return node.state is State.TRIAL
        case "retire":
            return node.state is State.KEPT or (node.state is not State.RETIRED and not node.boots_next)
        case _:
            return True


def tabs(status: Status | None, view: str) -> str:
    """The four views with their sizes, the shown one in brackets."""
    known = status.standing if status else None
    sizes = {
        "volumes": len(status.lineage.nodes) if status else 0,
        "entries": len(known.choices) if known else 0,
        "history": len(known.history) if known else 0,
    }
    names = [f"{i} {v} {sizes[v]}" if v in sizes else f"{i} {v}" for i, v in enumerate(VIEWS, 1)]
    return "  ".join(f"[{n}]" if v == view else f" {n} " for n, v in zip(names, VIEWS, strict=True))


def rows_of(status: Status | None, view: str, width: int) -> list[Row]:
    if status is None:
        return [Row(line(" nothing found yet"))]
    known = status.standing
    match view:
        case "entries":
            return entry_rows(known.loader, known.choices, width)
        case "history":
            return history_rows(known.history)
        case "space":
            return [Row(text) for text in space_lines(known.pools, width)]
        case _:
            return describe.tree_rows(status.lineage, width) or [Row(line(" nothing found yet"))]


def side_lines(status: Status | None, width: int) -> list[Line]:
    """Right of the volumes on a wide screen: everything else at once."""
    if status is None:
        return []
    known = status.standing
    found = [rule("Entries as the loader reads them", width)]
    found += [row.line for row in entry_rows(known.loader, known.choices[:8], width)]
    found += [rule("Space", width), *space_lines(known.pools, width), rule("History", width)]
    return [*found, *(row.line for row in history_rows(known.history))]


def entry_rows(loader: str, choices: tuple[BootChoice, ...], width: int) -> list[Row]:
    if not choices:
        words = "The boot loader's files could not be read, or are not of a kind Twinboot knows."
        return [Row(row) for row in lines(wrap(words, width - 3, " "))]
    name = max(20, width - 44)
    rows = [
        Row(line(f" The loader finds: {loader}.")),
        Row(columns(_cells("", "ENTRY", "KERNEL", "STATE", name), "title")),
    ]
    for number, choice in enumerate(choices):
        mark = "*" if choice.boots_next else "=" if choice.fallback else " "
        style = (
            "bad" if choice.state.startswith("BROKEN") else "warn" if choice.state.startswith("TRIAL") else ""
        )
        cells = _cells(mark, choice.title, choice.kernel, choice.state, name)
        rows.append(Row(columns(cells, style), f"{number} {choice.title}"))
    return rows


def entry_lines(choices: tuple[BootChoice, ...], chosen: str | None, width: int) -> list[Line]:
    """The selected entry in full: title and root are cut in the list."""
    for number, choice in enumerate(choices):
        if f"{number} {choice.title}" == chosen:
            whose = "made by Twinboot" if choice.ours else "the machine's own"
            words = f"{choice.title}: root {choice.root or 'not named'}, kernel {choice.kernel}, {whose}."
            return lines(wrap(words, width - 2, " "), "title")
    return []


def _cells(mark: str, title: str, kernel: str, state: str, name: int) -> list[tuple[str, int]]:
    return [(f" {mark}", 2), (title, name), (kernel, 16), (state, 0)]


def history_rows(history: tuple[DoneAct, ...]) -> list[Row]:
    if not history:
        return [Row(line(" Nothing was done to this machine yet."))]
    rows = [Row(columns([(" BEGAN", 14), ("RUN", 5), ("ACT", 9), ("OUTCOME", 0)], "title"))]
    for act in history:
        cells = columns([(f" {day(act.at)}", 14), (act.run, 5), (act.verb, 9)])
        said = f" {act.outcome}" + (f": {act.detail}" if act.detail else "")
        rows.append(
            Row((*cells, (said, OUTCOME_STYLES.get(act.outcome, ""))), f"{act.run} {act.verb} {act.at}")
        )
    return rows


def space_lines(pools: tuple[PoolRate, ...], width: int) -> list[Line]:
    """How full each pool is, and for how many days it lasts where that can be told."""
    if not pools:
        words = "No thin pool was found, so how long the room lasts cannot be told."
        return lines(wrap(words, width - 3, " "))
    return [row for pool in pools for row in lines(wrap(space_sentence(pool), width - 2, "   ", " "))]


def space_sentence(pool: PoolRate) -> str:
    share = 100 * pool.used / pool.size if pool.size else 100
    first = f"{pool.pool}: {size(pool.used)} of {size(pool.size)} used ({share:.0f}%)."
    if pool.per_day is None:
        return f"{first} Days left: unknown; two acts at least a day apart are needed to tell."
    over = f"over the last {count(round(pool.seconds / 86400), 'day')}"
    if pool.days is None:
        return f"{first} Days left: it did not grow {over}."
    left = str(int(pool.days)) if pool.days >= 1 else f"less than a day ({duration(pool.days * 86400)})"
    return f"{first} Days left: {left}, at {size(pool.per_day)} a day {over}."
