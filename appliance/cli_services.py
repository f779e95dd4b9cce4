"""What is asked of the appliance: `twinboot export`, `wanted`, `plans`, `network`, `ssh`, `power` ..."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable

from appliance import show
from appliance.errors import Refused
from appliance.model import messages as m
from appliance.model import service_messages as s
from appliance.model.codec import to_pretty_json
from appliance.model.machine import Locked
from appliance.model.plan import PatchKind
from appliance.session import Session

NewVerb = Callable[[str, str], argparse.ArgumentParser]
"""Makes the parser of one verb from its name and help text."""
Answered = tuple[s.Reply, str]
"""The engine's answer, and the same as text."""

WANTED = """\
The list goes to the folder wanted of the stick. It names installed packages, sources, pins and public keys,
and holds no password. Take the stick to an office with internet, and from there a bundle back:

examples:
  twinboot wanted                                on the appliance: all pending updates
  twinboot wanted --packages nginx ledger        these and what they need
  twinboot bundle make /media/*/TWINBOOT/wanted/*.json --stick june    in the office, for many machines
  twinboot rehearse --all --bundle june          back at the machine, without a cable
"""


UNLOCK = """\
It is open until power-off; that changes nothing on it. A rehearsal's twin is told the passphrase at each of
its starts. It is no argument: lists of processes would show it.

examples:
  twinboot keyboard de          first, where the machine's own keyboard is not a US one
  twinboot unlock               asks, without showing what is typed
  twinboot unlock < file        the first line of a file
"""


def add_verbs(verb: NewVerb) -> None:
    export = verb(
        "export", "Take the record of RUN away, without secrets; without RUN machine and log alone."
    )
    export.add_argument("run", nargs="?", default="")
    export.add_argument(
        "--to", default=s.STICK, metavar="PLACE", help="stick (default), http(s)://... by PUT, or a /folder"
    )
    wanted = verb(
        "wanted", "Write to the stick what a system here would fetch; nothing is written to the machine."
    )
    wanted.add_argument("--system", default="", help="which installed system, as inspect names it")
    kind = wanted.add_mutually_exclusive_group()
    kind.add_argument("--all", action="store_true", help="all pending updates (default)")
    kind.add_argument("--security", action="store_true", help="security updates only")
    kind.add_argument("--packages", nargs="+", default=(), metavar="NAME", help="these packages")
    wanted.epilog = WANTED
    wanted.formatter_class = argparse.RawDescriptionHelpFormatter
    verb("plans", "The plan files on the stick; `twinboot run NAME` carries one out here and now.")
    _network_arguments(
        verb("network", "The appliance's own ports; with PORT set its address, until power-off.")
    )
    ssh = verb("ssh", "ssh to the console: how it stands, on (with a fresh password), off.")
    ssh.add_argument("turn", nargs="?", choices=("on", "off"))
    keyboard = verb("keyboard", "The layout of the keyboard at the machine's own screen.")
    keyboard.add_argument("layout", nargs="?", default="", help=", ".join(one.code for one in s.LAYOUTS))
    unlock = verb("unlock", "Look into an encrypted device; its passphrase is asked for, or read from stdin.")
    unlock.add_argument("device", nargs="?", default="", help="as inspect names it, or its UUID")
    unlock.epilog = UNLOCK
    unlock.formatter_class = argparse.RawDescriptionHelpFormatter
    power = verb("power", "Restart or switch off this machine, or restart into its firmware's setup.")
    power.add_argument("act", choices=("reboot", "poweroff", "firmware"))


def _network_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("port", nargs="?", default="", metavar="PORT", help="set this port; DHCP but for:")
    sub.add_argument("--address", default="", help="with its prefix, as 192.0.2.10/24")
    sub.add_argument("--gateway", default="")
    sub.add_argument("--dns", default="", metavar="SERVERS", help="name servers, apart by commas")
    sub.add_argument("--vlan", default="", metavar="NUMBER")
    sub.add_argument("--blink", action="store_true", help="let the lamp of PORT blink for 15 s, set nothing")
    sub.add_argument("--proxy", default=None, metavar="URL", help='http://host:port; "" for none')


async def _export(session: Session, args: argparse.Namespace) -> Answered:
    done = await session.export(args.run, args.to)
    return done, show.exported(done)


async def _wanted(session: Session, args: argparse.Namespace) -> Answered:
    kind = PatchKind.SECURITY if args.security else PatchKind.PACKAGES if args.packages else PatchKind.ALL
    say = s.WriteWanted(system=args.system, kind=kind, packages=tuple(args.packages))
    done = await session.write_wanted(say)
    return done, show.wanted(done)


async def _plans(session: Session, args: argparse.Namespace) -> Answered:
    found = await session.plan_files()
    return found, show.plan_files(found)


async def _network(session: Session, args: argparse.Namespace) -> Answered:
    if args.blink:
        await session.blink(args.port)
        return m.Accepted(), f"The lamp of {args.port} blinks for 15 seconds."
    fields = {"address": args.address, "gateway": args.gateway, "servers": args.dns, "vlan": args.vlan}
    if any(fields.values()) and not args.port:
        raise Refused(("Name the port to set: twinboot network PORT --address ...",))
    if args.proxy is not None:
        await session.set_network(s.SetProxy(proxy=args.proxy))
    if args.port:
        await session.set_network(s.SetNetwork(link=args.port, **fields))
    found = await session.network()
    return found, show.network(found)


async def _ssh(session: Session, args: argparse.Namespace) -> Answered:
    state = await (session.set_ssh(args.turn == "on") if args.turn else session.ssh())
    return state, show.ssh(state)


async def _keyboard(session: Session, args: argparse.Namespace) -> Answered:
    code = await (session.set_keyboard(args.layout) if args.layout else session.keyboard())
    return s.KeyboardIs(code=code), f"The keyboard of this machine's screen: {code}"


async def _unlock(session: Session, args: argparse.Namespace) -> Answered:
    machine = await session.inspect()
    one = chosen(machine.locked, args.device)
    layout = await session.keyboard() if sys.stdin.isatty() else ""
    passphrase = await asyncio.to_thread(read_passphrase, one.name, layout)
    found = await session.unlock(one.uuid, passphrase)
    return m.Found(machine=found), f"{one.name} is unlocked until power-off.\n\n{show.machine(found)}"


def chosen(locked: tuple[Locked, ...], device: str) -> Locked:
    """The one that is meant. Raises Refused where none or more than one is."""
    fitting = [one for one in locked if device in ("", one.name, one.path, one.uuid)]
    if len(fitting) == 1:
        return fitting[0]
    if not locked:
        raise Refused(("Nothing on this machine is locked.",))
    names = ", ".join(f"{one.name} ({one.uuid})" for one in locked)
    raise Refused((f"Name the one to unlock: {names}.",))


def read_passphrase(name: str, layout: str) -> bytes:
    """From a person without echo, `layout` told first; else the first line of standard input."""
    if not layout:
        return sys.stdin.buffer.readline().rstrip(b"\n")
    print(f"Keyboard of this machine's own screen: {layout} (twinboot keyboard changes it).", file=sys.stderr)
    return getpass.getpass(f"Passphrase of {name}: ", stream=sys.stderr).encode()


async def _power(session: Session, args: argparse.Namespace) -> Answered:
    await session.power(args.act)
    return m.Accepted(), "The machine is going down."


VERBS: dict[str, Callable[[Session, argparse.Namespace], Awaitable[Answered]]] = {
    "export": _export,
    "wanted": _wanted,
    "plans": _plans,
    "network": _network,
    "ssh": _ssh,
    "keyboard": _keyboard,
    "unlock": _unlock,
    "power": _power,
}


async def act(session: Session, args: argparse.Namespace) -> int:
    """Ask, and print the answer as text or, with --json, as it came."""
    answer, text = await VERBS[args.verb](session, args)
    print(to_pretty_json(answer) if args.json else text)
    return 0
