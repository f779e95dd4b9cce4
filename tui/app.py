"""The console script `twinboot-console`: terminal first, a banner at once, then the application."""

from __future__ import annotations

import argparse
import locale
import os
import signal
import sys
from collections.abc import Sequence

from tui import prefork, terminal

# Textual reads these once, when it is imported, so they stand before that import.
ENVIRONMENT = {
    "TEXTUAL_THEME": "ansi-dark",
    "TEXTUAL_ANIMATIONS": "none",
    "TEXTUAL_DISABLE_KITTY_KEY": "1",
    "TEXTUAL_SMOOTH_SCROLL": "0",
    "TEXTUAL_COLOR_SYSTEM": "standard",
    "TEXTUAL_FPS": "10",
    "ESCDELAY": "300",  # ms: slow lines tear escape sequences apart at the usual 100
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="twinboot-console", description="The console of this machine's twin."
    )
    parser.add_argument("--client", default="", help="name of this terminal, e.g. tty1 (default: its own)")
    looks = parser.add_mutually_exclusive_group()
    looks.add_argument("--rich", action="store_true", help="colours and lines")
    looks.add_argument("--basic", action="store_true", help="pure ASCII, no colour")
    looks.add_argument("--plain", action="store_true", help="line mode: menus and prompts on plain lines")
    return parser


def choose(options: argparse.Namespace) -> tuple[str, terminal.Mode]:
    """The client's name and mode, from the options or from the terminal itself."""
    name = options.client or terminal.own_name()
    if options.rich or options.basic:
        return name, terminal.Mode.RICH if options.rich else terminal.Mode.BASIC
    if (kept := terminal.remembered_mode(name)) is not None:
        return name, kept
    return name, terminal.choose_mode(name, os.environ.get("TERM", ""), locale.getpreferredencoding(False))


def prepare(mode: terminal.Mode) -> None:
    """Environment and terminal size for Textual; a line of text, so that nobody looks at an empty screen."""
    _settle_textual()
    os.environ.pop("COLUMNS", None)
    os.environ.pop("LINES", None)
    if sys.stdin.isatty():
        print("Twinboot console is starting ...", file=sys.stderr, flush=True)
        terminal.settle_size(sys.stdin.fileno())


def _settle_textual() -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def load() -> prefork.Run:
    """Import the application, which is most of what its start costs, and return what runs it."""
    _settle_textual()
    from tui.console import Console

    def run(name: str, mode: str) -> None:
        Console(name, terminal.Mode(mode)).run(mouse=False)

    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the console; the line mode where that is asked for, or where the terminal cannot place a cursor."""
    options = _parser().parse_args(arguments)
    # Started by something that ignores hang-ups (nohup(1)), it would go on for a line that nobody reads.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if sys.stdin.isatty():  # and Ctrl-C is a person's, whatever a background job handed down
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if options.plain or not terminal.can_show(os.environ.get("TERM", "")) or not sys.stdin.isatty():
        from tui.plain.menu import main as plain

        return plain(options.client or terminal.own_name())
    name, mode = choose(options)
    prepare(mode)
    status = prefork.ask(name, mode.value)
    if status is None:
        load()(name, mode.value)
    return status or 0


def share() -> int:
    """The script `twinboot-prefork`, which a socket unit starts: loads once what every console then has."""
    return prefork.listen(load)


if __name__ == "__main__":
    sys.exit(main())
