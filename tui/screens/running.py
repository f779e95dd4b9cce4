"""A run while it goes on: steps, bar, twin's output. Leaving this page stops nothing."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from appliance.model.machine import Machine
from tui import describe
from tui.board import Board, LogLine
from tui.look import Line, bar, line, rule
from tui.runboard import Mark, RunBoard
from tui.screens.page import Page, key
from tui.screens.sure import Sure
from tui.widgets.pane import Pane
from tui.words import about, clock, duration, fit, moment, size, wrap

MARK_STYLES = {
    Mark.DONE: "good",
    Mark.RUNNING: "busy",
    Mark.FAILED: "bad",
    Mark.TODO: "",
    Mark.WAITING: "warn",
}
LOG_ROWS = 3
STEPS_WIDTH, STEPS_WIDTH_WIDE = 40, 66


class Running(Page):
    """Shows the run the engine is busy with, or the last one."""

    NAME = "run"
    HELP = """\
The run belongs to the engine, not to this terminal: leave the page, lose the
line, come back. On the left the steps with their times, on the right the last
lines of the twin's console: W shows all of it, and its keyboard. P lets the
twin stand still for a while, and go on. Where a step waits for a person it says so: G goes
on after asking. C cancels after asking: what the run made is removed.
A time left is only shown when it can be known.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        key("g", "go_on", "go on (asks)"),
        key("w,f6", "watch", "the VM"),
        key("p,f8", "pause", "pause"),
        key("p,f8", "resume", "unpause"),
        key("v", "verdict", "read the verdict"),
        key("e", "error", "what went wrong"),
        key("q,f10", "restart", "restart the machine"),
        key("c", "cancel", "cancel (asks)"),
        key("l", "log", "log"),
        key("escape,h", "back", "home"),
    ]

    def body(self) -> ComposeResult:
        yield Pane(id="top", classes="three")
        with Horizontal(classes="half"):
            yield Pane(id="steps")
            yield Pane(id="vm")
        yield Pane(id="foot")

    def shows_time(self) -> bool:
        run = self.board.run
        return run is not None and not run.over

    def draw(self) -> None:
        run, width = self.board.run, self.width
        if run is None:
            self.pane("top").show(
                [line(""), line(" Nothing is running and nothing has run since the image started.")]
            )
            for name in ("steps", "vm", "foot"):
                self.pane(name).show([])
            return
        now = time.time()
        self.pane("top").show(_top_lines(run, width, now))
        height = max(4, self.pane("steps").size.height)
        steps = STEPS_WIDTH_WIDE if self.wide else STEPS_WIDTH
        self.pane("steps").styles.width = steps
        self.pane("steps").show(_step_lines(run, steps, height, now))
        self.pane("vm").show(self._side_lines(run, width - steps, height))
        self.pane("foot").show(self._foot(run, width))

    def _side_lines(self, run: RunBoard, width: int, height: int) -> list[Line]:
        """The twin's console; an act on the machine has no twin, then it is the log."""
        if not run.verb or run.makes_a_run or run.twin:
            return _pane_lines("The twin, live", list(run.twin), width, height)
        said = [f"{moment(entry.at)} {entry.text}" for entry in _newest(self.board.log, height)]
        return _pane_lines("Log", said, width, height)

    def _foot(self, run: RunBoard, width: int) -> list[Line]:
        if run.gate:
            rows = [rule("Waiting for you", width)]
            rows += [line((row, "title")) for row in wrap(run.gate_sentence, width - 2, " ")[:3]]
            if run.gate == "by-hand":
                said = " opens the twin's console: press I there, and you are root in the twin."
                rows.append(line(" ", ("W", "key"), said))
            return [
                *rows,
                line(
                    " ",
                    ("G", "key"),
                    " goes on after asking you; Esc leaves it waiting, for days if need be.",
                ),
            ]
        if run.over:
            return _over_lines(run, self.board, width)
        last = _newest(self.board.log, LOG_ROWS, worth_a_row)
        rows = [rule("Log", width), *(_log_line(entry, width) for entry in last)]
        return [*rows, line(" It is safe to leave this page or lose this line: the run goes on.")]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        run = self.board.run
        match action:
            case "go_on":
                return run is not None and bool(run.gate) and not run.over
            case "verdict":
                return run is not None and run.over and not run.failed and run.makes_a_run
            case "error":
                return run is not None and run.failed is not None
            case "cancel":
                return run is not None and not run.over
            case "watch":
                return run is not None and run.verb in ("", "rehearse", "repair")
            case "pause" | "resume":
                if run is None or run.over or run.verb not in ("", "rehearse", "repair"):
                    return False
                return run.paused == (action == "resume")
            case "restart":
                return (
                    run is not None
                    and run.over
                    and run.failed is None
                    and run.verb in ("promote", "rollback")
                )
            case _:
                return True

    def action_watch(self) -> None:
        self.desk.open_vm()

    def action_pause(self) -> None:
        if (run := self.board.run) is not None:
            words = "The VM stands still; no time limit counts. P lets it go on."
            self.ask("Pausing ...", lambda s: s.pause(run.run), lambda _: self.say(words))

    def action_resume(self) -> None:
        if (run := self.board.run) is not None:
            words = "The VM goes on."
            self.ask("Resuming ...", lambda s: s.resume(run.run), lambda _: self.say(words, "good"))

    def action_verdict(self) -> None:
        if self.board.run is not None:
            self.desk.open_verdict(self.board.run.run)

    def action_error(self) -> None:
        if self.board.run is not None:
            self.desk.show_failure(self.board.run)

    def action_restart(self) -> None:
        self.desk.open_power(armed=True)

    def action_log(self) -> None:
        self.desk.open_log()

    def action_go_on(self) -> None:
        run = self.board.run
        if run is None or not run.gate:
            return
        expected, prompt = gate_prompt(run, self.board.machine)
        text = [line(row) for row in wrap(run.gate_sentence, self.width - 2, " ")]
        gate = run.gate

        def approve() -> None:
            self.ask(
                "Going on ...",
                lambda s: s.approve(run.run, gate, expected),
                lambda _: self.say("Going on.", "good"),
            )

        self.desk.show_sure(Sure(f"Go on with {run.title or run.run}?", text, prompt, expected, approve))

    def action_cancel(self) -> None:
        run = self.board.run
        if run is None or run.over:
            return
        words = (
            "The run stops at the next safe point and what it made is deleted: snapshots, the twin, files"
            " under names of ours. The installed system and what it boots stay as they are."
        )
        text = [line(row) for row in wrap(words, self.width - 2, " ")]

        def cancel() -> None:
            self.ask(
                "Cancelling ...",
                lambda s: s.cancel(run.run),
                lambda _: self.say("The run is being cancelled."),
            )

        prompt = "To cancel the run, type yes and press Enter:"
        self.desk.show_sure(Sure(f"Cancel {run.title or run.run}?", text, prompt, "yes", cancel))


def gate_prompt(run: RunBoard, machine: Machine | None) -> tuple[str, str]:
    """What has to be typed at a gate: yes inside a rehearsal, the machine's own characters before a write."""
    if run.makes_a_run or machine is None:
        return "yes", "To go on, type yes and press Enter:"
    last = machine.identity[-4:].strip()
    return last, f"To go on, type the last {len(last)} characters of {machine.identity}:"


def _top_lines(run: RunBoard, width: int, now: float) -> list[Line]:
    number = sum(s.mark is not Mark.TODO for s in run.steps)
    current = run.current
    title = run.title or run.run
    share = run.fraction()
    percent = f"{share * 100:3.0f}%"
    if run.over:
        head = "Finished" if run.failed is None else "Cancelled" if run.cancelled else "STOPPED"
        style = "good" if run.failed is None else "bad"
        first = line(" ", (f"{head}  {title}", style))
    elif run.paused:
        first = line(" ", (f"PAUSED  {title}: the VM stands still, P lets it go on", "warn"))
    elif run.gate:
        first = line(" ", (f"WAITING FOR YOU  {title}", "warn"))
    else:
        step = f"Step {max(1, number)} of {len(run.steps)}  {current.title if current else ''}"
        first = line(" ", (step, "title"), f"   ({title})")
    spent = duration((now if run.ended is None else run.ended) - run.started) if run.started else ""
    left = run.left(now)
    rest = f"    {about(left)} left" if left >= 0 else ""
    return [
        first,
        line(f" {bar(share, width - 8)} {percent}"),
        line(f" elapsed {spent}{rest}" if spent else ""),
    ]


def _step_lines(run: RunBoard, width: int, height: int, now: float) -> list[Line]:
    """Steps around the current one, progress and gauges under them."""
    gauges = _gauge_lines(run, width)
    room = max(3, height - 1 - len(gauges))
    at = next((i for i, s in enumerate(run.steps) if s.mark is not Mark.DONE), len(run.steps) - 1)
    top = max(0, min(at - room // 2, len(run.steps) - room))
    rows = [rule("Steps", width - 1, f"{top + 1}-{top + room}" if len(run.steps) > room else "")]
    for number, step in list(enumerate(run.steps, 1))[top : top + room]:
        seconds = (
            step.seconds if step.mark is Mark.DONE else now - step.started if step.mark is Mark.RUNNING else 0
        )
        took = clock(seconds) if seconds >= 0.5 or step.mark is Mark.DONE else ""
        text = fit(f"{number:>2} {step.title}", width - 14)
        rows.append(line(" ", (step.mark.value, MARK_STYLES[step.mark]), f" {text} {took:>6}"))
    return [*rows, *gauges]


def _gauge_lines(run: RunBoard, width: int) -> list[Line]:
    rows = []
    progress = run.progress
    if progress is not None and progress.total > 0 and run.current is not None and not run.over:
        fetched = progress.unit == "bytes"
        unit = progress.unit or "done"
        label = "Downloaded" if fetched else unit[:1].upper() + unit[1:]
        done, total = (size(n) if fetched else f"{n:.0f}" for n in (progress.done, progress.total))
        rate = f", {progress.rate:.1f}/s" if progress.rate >= 0 else ""
        rows.append(line(f" {fit(label, 15)} {done} of {total}{rate}"))
    for gauge in list(run.gauges.values())[-4:]:
        text = f" {fit(gauge.name[:1].upper() + gauge.name[1:], 15)} {gauge.text}"
        room = width - 3 - len(text)
        share = f" {bar(gauge.fraction, room)}" if gauge.fraction >= 0 and room >= 8 else ""
        rows.append(line((text + share)[: width - 1]))
    return rows


def _pane_lines(title: str, texts: list[str], width: int, height: int) -> list[Line]:
    """The last lines of `texts` beside the steps, with a line between."""
    tail = texts[-(height - 1) :]
    head = rule(title, width)
    rows = [line("│ ", fit(text, width - 2)) for text in tail]
    return [(("┬", ""), (head[0][0][1:], "")), *rows, *([line("│")] * (height - 1 - len(rows)))]


DONE = {
    "promote": "Armed: the next boot tries it once. If it does not come up well, the old system boots.",
    "rollback": "Rolled back: the old system boots from the next start on.",
    "keep": "Kept: the next boot of the patched system makes it permanent.",
    "retire": "Retired: its volumes are deleted and their space is free.",
    "undo": "Undone: nothing of Twinboot is left on this machine's disks.",
}


def _over_lines(run: RunBoard, board: Board, width: int) -> list[Line]:
    rows = [rule("Result", width)]
    if run.failed is not None:
        rows += [
            line((row, "bad")) for row in wrap(f"{run.failed.code}: {run.failed.what}", width - 2, " ")[:3]
        ]
        return [*rows, line(" ", ("E", "key"), " shows what is safe and what to do next.")]
    if run.outcome == "rolled back":
        return [*rows, line(" ", ("Stopped: what the run had made was removed.", "title"))]
    headline = run.verdict.headline if run.verdict else DONE.get(run.verb, "done")
    rows += [line((row, "title")) for row in wrap(headline, width - 2, " ")]
    rows += [] if run.makes_a_run else _warned_lines(run, width)
    if run.verb == "promote":
        rows += describe.boot_lines(board)
        rows.append(line(" ", ("Q", "key"), " restarts the machine for the trial. Later is fine too."))
    elif run.verdict is not None or run.makes_a_run:
        rows.append(line(" ", ("V", "key"), " reads the verdict; promoting is decided there."))
    if run.report:
        rows.append(line(f" Report: {run.report}"))
    return rows


def _warned_lines(run: RunBoard, width: int) -> list[Line]:
    """What an act could not do although it came to its end."""
    return [
        line((row, "warn")) for text in run.warned[-2:] for row in wrap(text, width - 2, "     ", " [!] ")
    ]


def worth_a_row(entry: LogLine) -> bool:
    """The twin has its own pane, and every command is in the log: here stands what tells something."""
    return entry.level != "info" or entry.source not in ("vm", "patch", "log")


def _newest(
    log: deque[LogLine], count: int, wanted: Callable[[LogLine], bool] | None = None
) -> list[LogLine]:
    """The last `count` entries that are wanted, oldest first: not all of a long log is looked at."""
    return list(islice(filter(wanted, reversed(log)), count))[::-1]


def _log_line(entry: LogLine, width: int) -> Line:
    style = {"warn": "warn", "error": "bad"}.get(entry.level, "")
    return line((fit(f" {moment(entry.at)} {fit(entry.source, 5)} {entry.text}", width - 1), style))
