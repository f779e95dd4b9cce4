"""What a roll back takes and what it leaves, in the words of a page. Pure: plan in, lines out."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.model.plan import Loss, Plan
from tui.look import Line, line, lines, rule
from tui.words import size, wrap

LOSS_PATHS = 8
SYSTEM = "the system only: data volumes stay as they are now"
DATA = "the system and its data: data volumes as they were right before the trial"
LEFT = (
    "Going back boots the old system as it was. What the new one wrote to its own volume stays there"
    " until it is retired; what was written to data volumes stays as it is now."
)
TAKEN = (
    "Going back boots the old system as it was, with its data of before the trial. What the new one wrote to"
    " its own volume, and what the data volumes hold now, is kept until the run is retired."
)
MIGRATED = (
    "Going back undoes that only where the data goes back as well; else the old programs may not read it."
)
NOTHING = "Nothing: the trial has not run, or what it wrote are logs and the like."


def can_choose(plan: Plan) -> bool:
    """Whether the run has safety snapshots of data, so that there is something to choose."""
    return bool(plan.names.data_safety)


def choice_lines(with_data: bool, width: int) -> list[Line]:
    """Both ways, the chosen one marked, and the key that changes it."""
    rows = [rule("What goes back", width)]
    for chosen, words in ((not with_data, SYSTEM), (with_data, DATA)):
        mark = " (*) " if chosen else " ( ) "
        rows += lines(wrap(words, width - 2, "     ", mark), "title" if chosen else "")
    return [*rows, line(" ", ("F9", "key"), " or ", ("Ctrl+G", "key"), " takes the other one.")]


def loss_lines(plan: Plan, width: int) -> list[Line]:
    """What was written since the trial began: the system's part is left behind, the data's part as chosen."""
    rows = [rule("Written since the trial began", width)]
    for loss in plan.losses:
        rows.append(line(" ", (f"{loss.where}: {loss.note or f'about {size(loss.bytes)}'}", "warn")))
        rows += [line(f"      {path}") for path in loss.paths[:LOSS_PATHS]]
        if len(loss.paths) > LOSS_PATHS:
            rows.append(line(f"      and {len(loss.paths) - LOSS_PATHS} more"))
        for folder in loss.databases:
            rows += lines(wrap(database(loss, folder), width - 2, "     ", " [!] "), "warn")
        for sentence in places(loss):
            rows += lines(wrap(sentence, width - 2, "      "))
    if not plan.losses:
        return [*rows, line(f" {NOTHING}")]
    return [*rows, *lines(wrap(TAKEN if plan.request.with_data else LEFT, width - 2, " "))]


def database(loss: Loss, folder: str) -> str:
    """What becomes of a data base among what was written."""
    if loss.undone:
        return f"A data base lies in {folder}: it goes back as well."
    return f"A data base lies in {folder}: the old program may not read what the new one wrote."


def places(loss: Loss) -> Iterator[str]:
    """Which volumes hold the place as it was, and as it is."""
    if loss.undone:
        yield f"Taken away from {loss.where}, and kept in {loss.undone}."
    if loss.safety:
        yield f"As it was before the trial: {loss.safety}."


def told(plan: Plan) -> Iterator[str]:
    """The same for the line mode."""
    for loss in plan.losses:
        yield f"[!] Written since the trial began: {loss.where}, {loss.note or f'about {size(loss.bytes)}'}."
        yield from (f"   {path}" for path in loss.paths[:LOSS_PATHS])
        if len(loss.paths) > LOSS_PATHS:
            yield f"   and {len(loss.paths) - LOSS_PATHS} more"
        yield from (f"[!] {database(loss, folder)}" for folder in loss.databases)
        yield from (f"   {sentence}" for sentence in places(loss))
    if not plan.losses:
        yield f"Written since the trial began: {NOTHING[0].lower()}{NOTHING[1:]}"
    else:
        yield TAKEN if plan.request.with_data else LEFT
