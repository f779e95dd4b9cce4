"""A long program in the guest that outlives the call that started it: started, polled, stopped by id.

The agent's call returns at once; the program runs in a session of its own with its output, its status
stream (file descriptor 3) and its exit status in files under /run, so an hour of patching needs no hour
of one call, and an agent that restarts loses nothing. Everything here is gone at the guest's next boot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.errors import Cancelled, PatchFailed, TwinFailed
from appliance.patching.base import Guest, Setting

FOLDER = "/run/twinboot/patch"
CHUNK = 200_000  # bytes of each stream a poll brings: well under the agent's 16 MB limit on output
REST, LONGEST_REST = 9.0, 15.0
"""How many times as long as a poll took is rested after it, and the most in seconds: the guest's processor is
for its own work. A poll takes 20 ms; in an emulated guest it takes a second."""

_START = f"""
rm -rf {FOLDER}/job && mkdir -p {FOLDER}/job && cd {FOLDER}/job || exit 1
: >log; : >status
setsid sh -c 'echo $$ >pid; "$@" >log 2>&1 3>status </dev/null; echo $? >exit.new; mv exit.new exit' \
    job "$@" </dev/null >/dev/null 2>&1 &
"""

# The exit file is looked at before the streams are read, so the poll that sees it has seen all output.
_POLL = f"""
cd {FOLDER}/job || exit 1
state=running
if [ -f exit ]; then read -r state <exit
elif [ -f pid ]; then read -r pid <pid; [ -d "/proc/$pid" ] || {{ [ -f exit ] || state=gone; }}
fi
log=$(($(wc -c <log) - $1)); [ "$log" -gt $3 ] && log=$3
status=$(($(wc -c <status) - $2)); [ "$status" -gt $3 ] && status=$3
echo "$state $log $status"
[ "$log" -gt 0 ] && tail -c +$(($1 + 1)) log | head -c "$log"
[ "$status" -gt 0 ] && tail -c +$(($2 + 1)) status | head -c "$status"
exit 0
"""

_KILL = f"""
cd {FOLDER}/job 2>/dev/null && read -r pid <pid || exit 0
kill -s TERM -- "-$pid" 2>/dev/null || exit 0
for i in 1 2 3 4 5; do kill -s 0 -- "-$pid" 2>/dev/null || exit 0; sleep 1; done
kill -s KILL -- "-$pid" 2>/dev/null
exit 0
"""


def rest_after(took: float, least: float) -> float:
    """Seconds to leave the guest alone after a poll that took `took` seconds of it."""
    return max(least, min(LONGEST_REST, REST * took))


@dataclass(frozen=True, slots=True)
class News:
    """What came since the last poll; `exit` is None while the program runs."""

    log: bytes
    status: bytes
    exit: int | None


@dataclass(slots=True)
class Job:
    """One program at a time. Calls that only poll are quick, whatever the program does."""

    guest: Guest
    setting: Setting

    def run(self, argv: tuple[str, ...], heard: Callable[[News], None], what: str) -> int:
        """Run `argv` to its end and return its exit status. `what` names it in an error.

        Raises Cancelled or PatchFailed (limit passed, program lost) after it has been stopped in the guest.
        """
        self._ask(_START, argv, 60)
        started = self.setting.clock()
        log = status = 0
        try:
            while True:
                asked = self.setting.clock()
                news = self._poll(log, status)
                took = self.setting.clock() - asked
                log += len(news.log)
                status += len(news.status)
                heard(news)
                more = len(news.log) == CHUNK or len(news.status) == CHUNK
                if news.exit is not None and not more:
                    return self._ended(news.exit, what)
                self._check(started, what)
                if not more:
                    self.setting.sleep(rest_after(took, self.setting.poll))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill what still runs, its whole process group; nothing happens when nothing runs."""
        self._ask(_KILL, (), 60)

    def _ended(self, status: int, what: str) -> int:
        if status < 0:
            raise PatchFailed(f"{what} was killed in the twin before it could end.")
        return status

    def _check(self, started: float, what: str) -> None:
        if self.setting.cancelled():
            raise Cancelled(f"{what} was stopped.")
        if self.setting.clock() - started > self.setting.limit:
            raise PatchFailed(f"{what} did not finish within {self.setting.limit / 60:.0f} minutes.")

    def _poll(self, log: int, status: int) -> News:
        out = self._ask(_POLL, (str(log), str(status), str(CHUNK)), 120)
        head, _, rest = out.partition(b"\n")
        try:
            state, log_bytes, status_bytes = head.split()
            sizes = int(log_bytes), int(status_bytes)
            ended = {b"running": None, b"gone": -1}[state] if state.isalpha() else int(state)
        except (ValueError, KeyError):
            raise TwinFailed(f"The twin's answer on the patch cannot be read: {head[:80]!r}.") from None
        return News(rest[: sizes[0]], rest[sizes[0] : sizes[0] + sizes[1]], ended)

    def _ask(self, text: str, args: tuple[str, ...], timeout: float) -> bytes:
        answer = self.guest.exec(("sh", "-c", text, "twinboot", *args), timeout=timeout)
        if answer.status != 0:
            said = answer.stderr.decode(errors="replace").strip() or "no message"
            raise TwinFailed(f"The twin could not run the patch ({said}).")
        return answer.stdout
