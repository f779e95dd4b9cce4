"""Home: what this machine is, what it boots, what can be done next."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from appliance.model.lineage import Node
from appliance.model.machine import Machine
from appliance.model.messages import Status
from tui import describe
from tui.board import Board
from tui.look import Line, beside, line, lines, rule
from tui.screens.page import Page, key
from tui.standing import possible, side_lines
from tui.widgets.pane import Pane
from tui.widgets.rows import Row, Rows
from tui.words import wrap


class Home(Page):
    """The first page and the one everything returns to."""

    NAME = "home"
    HELP = """\
Twinboot rehearses a patch on this machine before the machine itself gets it.

1. New rehearsal (N): a snapshot of the installed system boots as a VM on this
   hardware, the twin. The twin gets the patch, boots again and is checked.
   The installed system is not changed by any of this.
2. Read the verdict (V).
3. Promote (P): the next boot of this machine tries the patched system once.
   If it does not come up well, the old system boots by itself.
4. Keep it or roll back (B).

A system that does not boot is mended on a copy of it (X).

WRITES TO THIS MACHINE counts the commands that wrote to its disks since this
image was started.
"""
    ABOUT: ClassVar[dict[str, str]] = {
        "rehearse": "patch a twin of this machine and test it",
        "running": "its steps, the twin's output, what it waits for",
        "ran": "its steps, and how it ended",
        "verdict": "what the newest rehearsal found",
        "promote": "let the next boot try the newest rehearsal, once",
        "repair": "mend a copy of a system that does not boot well",
        "boot": "what boots next, the way back, history and space",
        "starts": "what this machine boots next, history and space",
        "machine": "disks, systems, boot order and trouble",
        "log": "everything that was said; filter and find",
        "unlock": "look into an encrypted device; its passphrase is asked for",
        "services": "export, network, ssh, shell, plan files",
        "inspect": "look at the disks once more",
        "take_over": "have this terminal in control",
        "power": "restart or switch off this machine",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        key("n", "rehearse", "new rehearsal"),
        key("r", "running", "watch the run"),
        key("r", "ran", "last run"),
        key("v", "verdict", "verdict"),
        key("p", "promote", "promote"),
        key("x", "repair", "repair"),
        key("b", "boot", "roll back"),
        key("b", "starts", "next boot"),
        key("m", "machine", "machine"),
        key("l", "log", "log"),
        key("u", "unlock", "open"),
        key("a", "services", "more"),
        key("i,f5", "inspect", "read again"),
        key("t", "take_over", "take over"),
        key("q,f10", "power", "power"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.known: set[str] = set()

    def body(self) -> ComposeResult:
        yield Pane(id="facts")
        yield Pane(id="tree-title", classes="one")
        with Horizontal(classes="half"):
            yield Rows(id="tree", classes="rest")
            yield Pane(id="side")
        yield Pane(id="now")

    def on_mount(self) -> None:
        self.query_one("#tree", Rows).focus()

    def draw(self) -> None:
        board, width = self.board, self.width
        self.pane("facts").show(_machine_lines(board, width))
        lineage = board.status.lineage if board.status else None
        self.pane("tree-title").show([rule("What this machine can start", width, describe.counted(lineage))])
        rows, side = self.query_one("#tree", Rows), self.pane("side")
        aside = width - width * 55 // 100 if self.wide else 0
        side.display, side.styles.width = self.wide, aside
        side.show(beside(side_lines(board.status, aside - 1)) if self.wide else [])
        rows.fill(describe.tree_rows(lineage, width - aside) or [Row(line(" nothing found yet"))])
        self._select_newest(rows)
        node = self._selected()
        self.pane("now").show(_now_lines(board, node, width))

    def _select_newest(self, rows: Rows) -> None:
        """A volume that was not there before is what one wants to look at; later the cursor stays put."""
        nodes = self.board.status.lineage.nodes if self.board.status else ()
        known, self.known = self.known, {n.volume for n in nodes}
        if fresh := [n for n in nodes if n.run and n.volume not in known]:
            rows.select(max(fresh, key=lambda n: n.made).volume)

    def on_rows_moved(self) -> None:
        self.redraw()

    def on_rows_chosen(self, event: Rows.Chosen) -> None:
        node = self._selected()
        if node is not None and node.run:
            self.action_verdict()
        else:
            self.action_machine()

    def _selected(self) -> Node | None:
        status = self.board.status
        chosen = self.query_one("#tree", Rows).selected
        if status is None:
            return None
        return next((n for n in status.lineage.nodes if n.volume == chosen), None)

    def _run(self) -> str:
        """The run the keys V and P mean: the selected one, else the newest there is."""
        node = self._selected()
        if node is not None and node.run:
            return node.run
        nodes = self.board.status.lineage.nodes if self.board.status else ()
        made = sorted((n for n in nodes if n.run), key=lambda n: n.made)
        return made[-1].run if made else ""

    def _way_back(self) -> bool:
        """Whether there is a run to roll back."""
        nodes = self.board.status.lineage.nodes if self.board.status else ()
        return any(possible("rollback", node) for node in nodes)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        board = self.board
        if action in ("running", "ran"):
            return board.run is not None and board.run.over == (action == "ran")
        if action in ("boot", "starts"):
            return self._way_back() == (action == "boot")
        if action in ("verdict", "promote"):
            return bool(self._run()) if self.is_mounted else False
        if action == "unlock":
            return bool(board.machine and board.machine.locked)
        if action == "take_over":
            return bool(board.status and board.status.operator not in ("", self.desk.client))
        return action != "back"

    def action_rehearse(self) -> None:
        self.desk.open_rehearse()

    def action_running(self) -> None:
        self.desk.open_running()

    action_ran = action_running

    def action_verdict(self) -> None:
        self.desk.open_verdict(self._run())

    def action_promote(self) -> None:
        self.desk.open_act("promote", self._run())

    def action_repair(self) -> None:
        self.desk.open_repair()

    def action_boot(self) -> None:
        self.desk.open_boot()

    action_starts = action_boot

    def action_machine(self) -> None:
        self.desk.open_machine()

    def action_log(self) -> None:
        self.desk.open_log()

    def action_unlock(self) -> None:
        self.desk.open_unlock()

    def action_services(self) -> None:
        self.desk.open_services()

    def action_power(self) -> None:
        self.desk.open_power()

    def action_inspect(self) -> None:
        self.ask("Reading the disks again ...", lambda s: s.inspect(fresh=True), self._read)

    def _read(self, machine: Machine) -> None:
        self.board.take_machine(machine)
        self.say("The machine was read again.")

    def action_take_over(self) -> None:
        self.desk.show_take_over()


def _machine_lines(board: Board, width: int) -> list[Line]:
    machine = board.machine
    counted = str(board.status.writes) if board.status else "not heard yet"
    counter = line(("WRITES TO THIS MACHINE: ", "title"), (counted, "title" if counted == "0" else "warn"))
    if machine is None:
        return [line(" " + board.machine_words), line(" "), ((" ", ""), *counter)]
    rows = describe.machine_facts(machine, width)
    return [*rows, ((" ", ""), *counter)]


def _now_lines(board: Board, node: Node | None, width: int) -> list[Line]:
    status = board.status
    rows = [rule("Selected: " + node.volume, width) if node else rule("", width)]
    if node is not None:
        rows += lines(wrap(describe.node_sentence(node), width - 2, " ")[:2])
    if status is None:
        return rows
    rows += describe.boot_lines(board)
    rows += [line((text, "warn")) for text in describe.first_warnings(status, board.machine, width)]
    text = wrap(_next_step(board, status), width - 2, " " * 11, " Next step ")
    rows += [line((row, "strong")) for row in text[:3]]
    return rows


def _next_step(board: Board, status: Status) -> str:
    """The engine's sentence, after what this terminal should know first."""
    first, run = "", board.run
    if status.operator not in ("", board.client):
        first = f"{status.operator} is in control, this terminal watches (T takes over). "
    if run is not None and not run.over:
        where = "is waiting for you" if run.gate else "is going on"
        return first + f"{run.title or run.run} {where}: R shows it."
    if run is not None and run.failed is not None and not run.cancelled:
        first += f"{run.title or run.run} stopped ({run.failed.code}): R shows why. "
    return first + (status.next_step or "N starts a new rehearsal.")
