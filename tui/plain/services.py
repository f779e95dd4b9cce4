"""What the appliance itself offers, from the line mode: export, plan files, network, ssh, keyboard, shell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from appliance.model import service_messages as s
from appliance.model.machine import Locked, Machine
from appliance.model.plan import Request
from tui import foreground
from tui.link import Link
from tui.plain.talk import Talk
from tui.terminal import is_screen
from tui.words import count, size

Start = Callable[[Request], Awaitable[None]]


class Services:
    """`start` takes a request through its plan and its typed confirmation."""

    def __init__(self, talk: Talk, link: Link, start: Start) -> None:
        self.talk, self.link, self.start = talk, link, start

    # -- export ------------------------------------------------------------------------------------------

    async def export(self, runs: list[str]) -> None:
        """The record of a run, or machine and log alone, to the stick, an address or a folder."""
        options = [(run, f"the record of {run}") for run in runs] + [("log", "machine and log alone")]
        what = await self.talk.choose("Export what?", options)
        if not what:
            return
        to = await self.talk.ask("Where to: stick, an http address, or a folder (Enter: stick):")
        run = "" if what == "log" else what
        self.talk.say("Exporting ...")
        done = await self.link.call(lambda session: session.export(run, to or s.STICK))
        secrets = sum(number for _, number in done.masked)
        self.talk.say(
            f"Exported to {done.where}, file {done.file}: {count(done.files, 'file')}, {size(done.size)}.",
            f"{count(secrets, 'place')} that held a secret {'is' if secrets == 1 else 'are'} masked.",
        )
        if done.unread:
            self.talk.say(f"[!] {count(len(done.unread), 'file')} that hold no text went in as they are.")

    # -- plan files --------------------------------------------------------------------------------------

    async def plans(self) -> None:
        """Those of the stick; one that can run here goes through its plan as any other."""
        found = await self.link.call(lambda session: session.plan_files())
        if not found.files:
            self.talk.say("There are no plan files on the stick.")
            return
        for file in found.files:
            self.talk.say(f"{file.name}: {file.why_not or file.command_line}")
        good = {file.name: file.request for file in found.files if file.request and not file.why_not}
        if not good:
            return
        name = await self.talk.choose("Which one?", [(name, "look at its plan") for name in good])
        if name:
            await self.start(good[name])

    async def save(self, request: Request) -> None:
        """What was chosen as a plan file, for this machine, to be run with nobody there."""
        name = await self.talk.ask("Name of the plan file, as june (Enter: back):")
        if not name:
            return
        promote = await self._yes("To promote by itself when the verdict is PASS, type yes, else Enter:")
        say = s.SavePlanFile(name=name, request=request, promote=promote)
        saved = await self.link.call(lambda session: session.save_plan_file(say))
        self.talk.say(f"Saved as {saved.path}.", f"The kernel argument that runs it: {saved.argument}")

    async def _yes(self, prompt: str) -> bool:
        return (await self.talk.ask(prompt)).casefold() == "yes"

    # -- network -----------------------------------------------------------------------------------------

    async def network(self) -> None:
        self._tell(await self.link.call(lambda session: session.network()))
        options = [
            ("set", "give a port its address, until power-off"),
            ("proxy", "the site's proxy"),
            ("blink", "let the lamp of a port blink"),
        ]
        match await self.talk.choose("Network:", options):
            case "set":
                await self._set()
            case "proxy":
                proxy = await self.talk.ask("http://host:port (Enter: none):")
                self._tell(await self.link.call(lambda session: session.set_network(s.SetProxy(proxy=proxy))))
            case "blink":
                port = await self.talk.ask("Port:")
                await self.link.call(lambda session: session.blink(port))
                self.talk.say(f"The lamp of {port} blinks.")

    async def _set(self) -> None:
        port = await self.talk.ask("Port (Enter: back):")
        if not port:
            return
        address = await self.talk.ask("Address with its prefix, as 192.0.2.10/24 (Enter: DHCP):")
        gateway = await self.talk.ask("Gateway (Enter: none):") if address else ""
        servers = await self.talk.ask("Name servers (Enter: none):") if address else ""
        vlan = await self.talk.ask("VLAN number (Enter: untagged):")
        say = s.SetNetwork(link=port, address=address, gateway=gateway, servers=servers, vlan=vlan)
        self._tell(await self.link.call(lambda session: session.set_network(say)))

    def _tell(self, network: s.Network) -> None:
        for port in network.links:
            speed = f" {port.speed} Mbit/s" if port.speed else ""
            way = "by DHCP" if port.dynamic else "by hand" if port.name in network.by_hand else ""
            address = " ".join(word for word in (*port.addresses, way) if word) or "no address"
            gateway = f", gateway {port.gateway}" if port.gateway else ""
            cable = f"cable{speed}" if port.cable else "NO CABLE"
            self.talk.say(f"Port {port.name}, {port.mac}: {cable}, {address}{gateway}.")
        self.talk.say(f"Name servers: {', '.join(network.servers) or 'none'}.")
        self.talk.say(f"Proxy: {network.proxy or 'none'}.")

    # -- ssh, keyboard, shell ----------------------------------------------------------------------------

    async def ssh(self) -> None:
        """How it stands; turned on after a typed yes, off at once."""
        state = await self.link.call(lambda session: session.ssh())
        self._tell_ssh(state)
        turn = "off" if state.on else "on"
        if await self._yes(f"To turn it {turn}, type yes (Enter: back):"):
            self._tell_ssh(await self.link.call(lambda session: session.set_ssh(not state.on)))

    def _tell_ssh(self, state: s.SshState) -> None:
        if not state.on:
            self.talk.say("ssh is off: nothing listens.")
            return
        for address in state.addresses:
            self.talk.say(f"ssh {state.user}@{address}")
        self.talk.say(f"Password: {state.password}", f"Host key: {state.fingerprint}")

    async def keyboard(self) -> None:
        now = await self.link.call(lambda session: session.keyboard())
        layouts = [(layout.code, layout.words) for layout in s.LAYOUTS]
        code = await self.talk.choose(f"Keyboard of the machine's own screen ({now} is in use):", layouts)
        if code:
            await self.link.call(lambda session: session.set_keyboard(code))
            self.talk.say(f"{code} is in use until power-off.")

    async def unlock(self, locked: tuple[Locked, ...]) -> Machine | None:
        """Look into an encrypted device: the keyboard first, then the passphrase. None where that is left."""
        options = [(one.name, f"UUID {one.uuid}") for one in locked]
        name = options[0][0] if len(options) == 1 else await self.talk.choose("Which one?", options)
        one = next((one for one in locked if one.name == name), None)
        if one is None:
            return None
        if is_screen(self.link.client):
            self.talk.say("A passphrase is not shown while it is typed: make sure of the keyboard first.")
            await self.keyboard()
        secret = await self.talk.ask_secret(f"Passphrase of {one.name} (not shown; Enter alone goes back):")
        if not secret:
            return None
        self.talk.say("Unlocking: this takes a while ...")
        machine = await self.link.call(lambda session: session.unlock(one.uuid, secret.encode()))
        self.talk.say(f"{one.name} is unlocked until power-off.")
        return machine

    async def shell(self) -> None:
        """On this very terminal; a script has none to give."""
        if not self.talk.person:
            self.talk.say("A root shell needs a person at a terminal.")
            return
        self.talk.say(
            "A root shell can write to the machine's disks, and nothing asks again. All of it is logged; exit"
            " leads back here."
        )
        if not await self._yes("To open the shell, type yes (Enter: back):"):
            return
        ready = await self.link.call(lambda session: session.open_shell())
        status = foreground.run(ready.argv)
        await self.link.call(lambda session: session.shell_closed(ready.log, status))
        self.talk.say(f"The shell has ended. Its log: {ready.log}")
