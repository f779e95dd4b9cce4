"""Device-mapper devices by name: which there are, made, removed (dmsetup(8))."""

from __future__ import annotations

from collections.abc import Iterable

from appliance.host.run import Command, Effect, Host, read, write

LIMIT = 120.0
"""Seconds for any one device-mapper or loop command; emulated machines take up to ten."""


def node(name: str) -> str:
    return f"/dev/mapper/{name}"


def name_of(path: str) -> str:
    return path.rpartition("/")[2]


def names(host: Host) -> frozenset[str]:
    """The names of all devices that are up."""
    listed = host.run(read("dmsetup", "info", "-c", "--noheadings", "-o", "name", timeout=LIMIT))
    return frozenset(line.strip() for line in listed.stdout.splitlines())


def create(host: Host, name: str, table: Iterable[str], *, readonly: bool = False) -> str:
    """Make one device and return its path. `readonly`: it opens what is below it for reading only."""
    lines = "".join(f"{line}\n" for line in table)
    argv = ("dmsetup", "create", *(("--readonly",) if readonly else ()), name)
    host.run(Command(argv, Effect.WRITE, timeout=LIMIT, stdin=lines.encode()))
    return node(name)


def remove(host: Host, name: str) -> None:
    """CommandFailed where it is in use."""
    # --retry: udev may be looking at the device just then.
    host.run(write("dmsetup", "remove", "--retry", name, timeout=LIMIT))
