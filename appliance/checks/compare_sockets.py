"""Listening sockets, control boot against patched boot: lost ones are worse, new ones are named."""

from __future__ import annotations

from appliance.model.verdict import CheckResult, Facts, Outcome

FIRST_EPHEMERAL = 32768  # net.ipv4.ip_local_port_range: numbers the kernel picks, another one at each boot

Key = tuple[str, str]  # ("tcp:22", "any" or "loopback"); a picked port reads "tcp:*NAME"


def split(socket: str) -> tuple[str, str, str]:
    """("tcp:22", "0.0.0.0", "sshd") of one line of Facts.sockets."""
    port, _, rest = socket.partition(" ")
    address, _, process = rest.partition(" ")
    return port, address, process


def is_loopback(address: str) -> bool:
    return address.startswith(("127.", "[::1]", "[::ffff:127.")) or address.endswith("%lo")


def _key(socket: str) -> Key | None:
    port, address, process = split(socket)
    scope = "loopback" if is_loopback(address) else "any"
    protocol, _, number = port.partition(":")
    if not number.isdigit():
        return None
    if int(number) >= FIRST_EPHEMERAL:
        return (f"{protocol}:*{process}", scope) if protocol == "tcp" and process != "-" else None
    return port, scope


def _by_key(facts: Facts) -> dict[Key, set[str]]:
    """Programs that listen, by port and reach; UDP ports the kernel picked are left out: they come and go."""
    found: dict[Key, set[str]] = {}
    for socket in facts.sockets:
        if key := _key(socket):
            found.setdefault(key, set()).add(split(socket)[2])
    return found


def sockets(control: Facts, patched: Facts) -> list[CheckResult]:
    """One check "socket PORT" for each port that listened in either boot."""
    before, after = _by_key(control), _by_key(patched)
    return [_socket(key, before.get(key), after.get(key)) for key in sorted({*before, *after})]


def _socket(key: Key, before: set[str] | None, after: set[str] | None) -> CheckResult:
    port, scope = key
    programs = ", ".join(sorted((before or after or set()) - {"-"}))
    name = f"socket {port}" + (" on loopback" if scope == "loopback" else "")
    outcome, why, fix = Outcome.SAME, "", ""
    if after is None:
        outcome, why = Outcome.WORSE, f"{programs or 'A program'} listened here before the patch."
        fix = "See whether its service runs, and whether its configuration was kept (list of kept files)."
    elif before is None:
        outcome = Outcome.NOT_TESTED
        why = f"NEW: {programs or 'a program'} listens here since the patch; nothing to compare it with."
        fix = "Make sure that this port is meant to be open."
    return CheckResult(
        name=name,
        outcome=outcome,
        before=_listens(before),
        after=_listens(after),
        limit="listens",
        why=why,
        fix=fix,
    )


def _listens(programs: set[str] | None) -> str:
    if programs is None:
        return "-"
    return ", ".join(sorted(programs - {"-"})) or "listens"
