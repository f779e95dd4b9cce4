"""What is asked of the appliance itself, beside runs: export, plan files, network, shell, ssh, keyboard."""

from __future__ import annotations

import msgspec

from appliance.model.plan import PatchKind, Request
from appliance.model.wire import Reply as Reply
from appliance.model.wire import Say as Say

STICK = "stick"


class Export(Say, frozen=True, tag="export"):
    """Take the record of `run` away; without a run the machine as read and the log alone.

    `to` is "stick" (the folder reports on its data partition), an http(s) address that is PUT to, or the
    absolute path of a folder of the appliance.
    """

    run: str = ""
    to: str = STICK


class Exported(Reply, frozen=True, tag="exported"):
    """`where` is a folder or an address without credentials, `file` the archive's name in it.

    `size` is the archive's, in bytes; `masked` counts the places where a secret stood, by kind; `unread` are
    files that hold no text and went in as they are.
    """

    where: str
    file: str
    size: int
    files: int
    masked: tuple[tuple[str, int], ...] = ()
    unread: tuple[str, ...] = ()


class GetPlanFiles(Say, frozen=True, tag="plan-files"):
    """The plan files on the stick."""


class PlanFile(msgspec.Struct, frozen=True, kw_only=True):
    """`request` is None where the file does not read; `why_not` says why it can not run here."""

    name: str
    serial: str = ""
    command_line: str = ""
    request: Request | None = None
    promote: bool = False
    keep: bool = True
    reboot: bool = True
    why_not: str = ""


class PlanFiles(Reply, frozen=True, tag="plan-files"):
    """`stick`: whether the folder is on a stick, or in memory and gone at power-off."""

    folder: str
    stick: bool
    files: tuple[PlanFile, ...] = ()


class SavePlanFile(Say, frozen=True, tag="save-plan"):
    """Keep `request` as plans/`name`.json on the stick, for this machine, to be run with nobody there.

    Of a promote request the rehearsal of its run is kept. `promote` when the verdict is PASS, `keep` when the
    trial is healthy, `reboot` into the trial.
    """

    name: str
    request: Request
    promote: bool = False
    keep: bool = True
    reboot: bool = True


class PlanSaved(Reply, frozen=True, tag="plan-saved"):
    """`argument` is what the kernel command line needs to run it; `sha256` goes with an address."""

    path: str
    sha256: str
    argument: str


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """One network port. `speed` is in Mbit/s, 0 where it is not known; `vlan` 0 for the port itself.

    `cable`: there is a link. `dynamic`: an address came by DHCP or router advertisement.
    """

    name: str
    mac: str
    cable: bool
    speed: int = 0
    addresses: tuple[str, ...] = ()
    dynamic: bool = False
    gateway: str = ""
    driver: str = ""
    parent: str = ""
    vlan: int = 0


class GetNetwork(Say, frozen=True, tag="network"):
    """The appliance's own ports, name servers and proxy."""


class Network(Reply, frozen=True, tag="network"):
    """`by_hand` names the ports that were set here; `proxy` is "host:port", empty for none."""

    links: tuple[Port, ...]
    servers: tuple[str, ...] = ()
    proxy: str = ""
    by_hand: tuple[str, ...] = ()


class SetNetwork(Say, frozen=True, tag="set-network"):
    """How the port `link` gets its address, until power-off. An empty `address` means DHCP.

    `address` is written with its prefix, 192.0.2.10/24; `servers` are name servers, apart by blanks or
    commas; `vlan` is a number 1-4094, empty for untagged. Answered by `Network`.
    """

    link: str
    address: str = ""
    gateway: str = ""
    servers: str = ""
    vlan: str = ""


class SetProxy(Say, frozen=True, tag="set-proxy"):
    """The site's HTTP proxy, http://host:port, for fetching; empty for none. Answered by `Network`."""

    proxy: str = ""


class Blink(Say, frozen=True, tag="blink"):
    """Let the lamp of port `link` blink, 15 seconds at most."""

    link: str


class GetStick(Say, frozen=True, tag="stick"):
    """What a rehearsal can take from the stick."""


class OnStick(Reply, frozen=True, tag="stick"):
    """Names to choose from: folders below bundles, scripts by their path, executables below checks."""

    bundles: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()


MOST_PACKAGES = 200
"""Rows of one `PackageList`: with more, somebody looks for a name."""


class GetPackages(Say, frozen=True, tag="packages"):
    """What is installed in the system `system` and has every word of `find` in its name.

    The first time it is read from the system's own volume, which takes as long as a look at the machine.
    Answered by `PackageList`; refused as busy while a run is at work on the disks.
    """

    system: str
    find: str = ""


class PackageRow(msgspec.Struct, frozen=True, kw_only=True):
    """An installed package. `newer` is the newest version that the system's own apt lists know, where there
    is one; `security`: one from a security archive is newer; `held`: apt will not change it.
    """

    name: str
    version: str
    newer: str = ""
    security: bool = False
    held: bool = False


class PackageList(Reply, frozen=True, tag="packages"):
    """At most MOST_PACKAGES `rows` of `found`: security updates, then other newer versions, then the rest.

    `installed`, `newer` and `security` count the whole system. `lists_at` is when apt last read its lists, in
    seconds since 1970, 0 where there are none; `unread` counts lists that could not be read.
    """

    rows: tuple[PackageRow, ...] = ()
    found: int = 0
    installed: int = 0
    newer: int = 0
    security: int = 0
    lists_at: float = 0.0
    unread: int = 0


class WriteWanted(Say, frozen=True, tag="wanted"):
    """Write what the system `system` would fetch for `kind` (all, security, packages) to the folder wanted
    of the stick: `twinboot bundle make` fetches it elsewhere. Answered by `WantedWritten`.
    """

    system: str
    kind: PatchKind = PatchKind.ALL
    packages: tuple[str, ...] = ()


class WantedWritten(Reply, frozen=True, tag="wanted"):
    """`unknown` are sentences on what the list leaves out, or could not know."""

    path: str
    installed: int
    sources: int
    keys: int
    unknown: tuple[str, ...] = ()


class OpenShell(Say, frozen=True, tag="shell"):
    """A root shell on the terminal `client`, which asks for itself."""

    client: str


class ShellReady(Reply, frozen=True, tag="shell"):
    """`argv` is run by the client in the foreground of its terminal; `log` takes all that is seen there."""

    argv: tuple[str, ...]
    log: str


class ShellClosed(Say, frozen=True, tag="shell-closed"):
    log: str
    status: int


class SetSsh(Say, frozen=True, tag="set-ssh"):
    """Turn ssh on, with a fresh key and password, or off. Answered by `SshState`."""

    on: bool


class GetSsh(Say, frozen=True, tag="ssh"):
    """Whether one can come in by ssh, and how."""


class SshState(Reply, frozen=True, tag="ssh"):
    """`fingerprint` is the host key's, SHA256:...; `addresses` are those sshd listens on."""

    on: bool
    user: str = ""
    password: str = ""
    fingerprint: str = ""
    addresses: tuple[str, ...] = ()
    port: int = 22


class Layout(msgspec.Struct, frozen=True):
    """`keymap` is the name of a file of Debian's console-data."""

    code: str
    keymap: str
    words: str


LAYOUTS = (
    Layout("us", "us", "English, US"),
    Layout("gb", "uk", "English, UK"),
    Layout("de", "de-latin1-nodeadkeys", "German, Austrian"),
    Layout("ch", "sg-latin1", "Swiss German"),
    Layout("ch-fr", "fr_CH-latin1", "Swiss French"),
    Layout("fr", "fr-latin9", "French"),
    Layout("be", "be2-latin1", "Belgian"),
    Layout("es", "es", "Spanish"),
    Layout("latam", "la-latin1", "Spanish, Latin American"),
    Layout("it", "it", "Italian"),
    Layout("pt", "pt-latin1", "Portuguese"),
    Layout("br", "br-abnt2", "Brazilian"),
    Layout("nl", "nl", "Dutch"),
    Layout("se", "se-latin1", "Swedish"),
    Layout("no", "no-latin1", "Norwegian"),
    Layout("dk", "dk-latin1", "Danish"),
    Layout("fi", "fi-latin1", "Finnish"),
    Layout("pl", "pl", "Polish"),
    Layout("cz", "cz-lat2", "Czech"),
    Layout("hu", "hu", "Hungarian"),
    Layout("tr", "trq", "Turkish"),
    Layout("jp", "jp106", "Japanese"),
)


class GetKeyboard(Say, frozen=True, tag="keyboard"):
    """Which layout the keyboard of the machine's own screen has."""


class SetKeyboard(Say, frozen=True, tag="set-keyboard"):
    """Choose the layout `code`, one of LAYOUTS, until power-off. Answered by `KeyboardIs`."""

    code: str


class KeyboardIs(Reply, frozen=True, tag="keyboard"):
    code: str


AnyServiceSay = (
    Export
    | GetPlanFiles
    | SavePlanFile
    | GetNetwork
    | SetNetwork
    | SetProxy
    | Blink
    | GetStick
    | GetPackages
    | WriteWanted
    | OpenShell
    | ShellClosed
    | SetSsh
    | GetSsh
    | GetKeyboard
    | SetKeyboard
)
AnyServiceReply = (
    Exported
    | PlanFiles
    | PlanSaved
    | Network
    | OnStick
    | PackageList
    | WantedWritten
    | ShellReady
    | SshState
    | KeyboardIs
)
SERVICE_ACTS: tuple[type[Say], ...] = (SetNetwork, SetProxy, OpenShell, SetSsh, SetKeyboard)
"""Those that only the client in control may ask."""
