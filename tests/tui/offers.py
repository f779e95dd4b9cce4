"""What a played engine answers beside runs: ports, ssh, plan files, an export, what the stick has."""

from __future__ import annotations

from msgspec.structs import replace

from appliance.errors import WrongPassphrase
from appliance.model import messages as m
from appliance.model import service_messages as s
from appliance.model.plan import PatchKind, PatchRequest, Request, Verb
from tests.tui import story
from tests.tui.engine import FakeEngine

STICK = s.OnStick(
    bundles=("2026-06-security", "ledger-1.1"),
    scripts=("scripts/mend-certificates.sh",),
    checks=("10-ledger", "20-web"),
)
NETWORK = s.Network(
    links=(
        s.Port(
            name="eno1", mac="52:54:00:00:00:01", cable=True, speed=1000, addresses=("192.0.2.15/24",),
            dynamic=True, gateway="192.0.2.1", driver="igb",
        ),
        s.Port(name="eno2", mac="52:54:00:00:00:02", cable=False),
    ),
    servers=("192.0.2.53",),
)  # fmt: skip
EXPORTED = s.Exported(
    where="/run/twinboot/data/reports/LAB-0001-tb1",
    file="twinboot-LAB-0001-tb1.tar.gz",
    size=4_300_000,
    files=31,
    masked=(("password", 11), ("private key", 1)),
)
WANTED = s.WantedWritten(
    path="/run/twinboot/data/wanted/LAB-0001.json",
    installed=412,
    sources=3,
    keys=5,
    unknown=("The pins in /etc/apt/preferences.d/old do not read: they are left out.",),
)

SHELL = ("sh", "-c", "echo This is no machine: the engine is played. Enter leads back.; read _")
SSH = s.SshState(
    on=True,
    user="root",
    password="k7mp-x2qr-9fhw",
    fingerprint="SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8",
    addresses=("192.0.2.15",),
)


def offer(engine: FakeEngine) -> None:
    """Let `engine` answer all of it; what is set by hand is told again the next time."""
    security = Request(verb=Verb.REHEARSE, patch=PatchRequest(kind=PatchKind.SECURITY))
    files = [
        s.PlanFile(
            name="june.json", serial=engine.machine.identity, request=security, promote=True,
            command_line="twinboot rehearse --security",
        ),
        s.PlanFile(name="other.json", serial="X", request=security, why_not="The plan other.json is for X."),
    ]  # fmt: skip
    known, ssh, keyboard = [NETWORK], [s.SshState(on=False)], [s.KeyboardIs(code="us")]

    def save(say: s.SavePlanFile) -> m.AnyReply:
        files.append(s.PlanFile(name=f"{say.name}.json", serial=engine.machine.identity, request=say.request))
        path = f"/run/twinboot/data/plans/{say.name}.json"
        return s.PlanSaved(path=path, sha256="ab" * 32, argument=f"twinboot.plan={say.name}.json")

    def port(say: s.SetNetwork) -> m.AnyReply:
        links = [
            s.Port(
                name=link.name, mac=link.mac, cable=link.cable, speed=link.speed,
                addresses=(say.address,) if say.address else link.addresses,
                dynamic=not say.address, gateway=say.gateway or link.gateway, driver=link.driver,
            )
            if link.name == say.link
            else link
            for link in known[0].links
        ]  # fmt: skip
        known[0] = s.Network(links=tuple(links), servers=known[0].servers, by_hand=(say.link,))
        return known[0]

    def proxy(say: s.SetProxy) -> m.AnyReply:
        name = say.proxy.removeprefix("http://")
        known[0] = s.Network(links=known[0].links, servers=known[0].servers, proxy=name)
        return known[0]

    def turn_ssh(say: s.SetSsh) -> m.AnyReply:
        ssh[0] = SSH if say.on else s.SshState(on=False)
        return ssh[0]

    def choose_keyboard(say: s.SetKeyboard) -> m.AnyReply:
        keyboard[0] = s.KeyboardIs(code=say.code)
        return keyboard[0]

    def unlock(say: m.Unlock) -> m.AnyReply:
        if say.passphrase == b"wrong":
            raise WrongPassphrase("The passphrase does not open /dev/vda4.")
        engine.machine = story.machine("thin-bios")
        engine.status = replace(engine.status, machine=engine.machine)
        return m.Found(machine=engine.machine)

    engine.stick = STICK
    engine.script |= {
        s.GetNetwork: lambda _: known[0],
        s.SetNetwork: port,
        s.SetProxy: proxy,
        s.GetPlanFiles: lambda _: s.PlanFiles(folder="plans", stick=True, files=tuple(files)),
        s.SavePlanFile: save,
        s.Export: lambda _: EXPORTED,
        s.WriteWanted: lambda _: WANTED,
        s.GetSsh: lambda _: ssh[0],
        s.SetSsh: turn_ssh,
        m.Unlock: unlock,
        s.GetKeyboard: lambda _: keyboard[0],
        s.SetKeyboard: choose_keyboard,
        s.OpenShell: lambda _: s.ShellReady(argv=SHELL, log="a shell of this computer, not of a machine"),
    }
