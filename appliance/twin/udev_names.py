"""What the installed system's own udev would call this machine's network cards, asked in its copy.

`udevadm test` of the copy goes through the copy's rules and .link files for the card as this machine's kernel
shows it. That takes the appliance's own network namespace, where the card is: so the program has no
capability, and can change no card (older ones try, and are refused: capabilities(7), CAP_NET_ADMIN); it can
open no socket but netlink's, and send nothing; sysfs and /proc/sys are read-only.
"""

from __future__ import annotations

import contextlib
import re
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ApplianceError, Cancelled
from appliance.host.run import Command, Effect, Host
from appliance.model.metal import Card
from appliance.probe.tree import Tree
from appliance.twin.offline import ANY_STATUS, REMOUNT, Offline, opened_at

NAMESPACES = ("--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--ipc", "--uts")
LIMIT = 300.0
"""Seconds for one card: a tenth natively, and fifty times that on an emulated machine."""
LONGEST = 15
"""Characters of an interface's name (IFNAMSIZ without its zero)."""

# The last of all rules: $name is what those before it decided, whether by NAME= or by a .link file.
RULE = 'SUBSYSTEM=="net", ENV{TWINBOOT_NAME}="$name"\n'
RULE_FILE = "run/udev/rules.d/zz-twinboot.rules"

# $1 is the copy's root, $2 the filter's file, $3 the kernel command line, then REMOUNT's, then the program.
# Where udev finds itself in a namespace it does not read /proc/cmdline (systemd's ENVIRONMENT.md has the
# other way to say it); where it is older it does.
LOOK = f"""
set -eu
root=$1 deaf=$2 line=$3
shift 3
{REMOUNT}
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
printf '%s\\n' "$line" >"$root/run/cmdline"
mount --bind "$root/run/cmdline" "$root/proc/cmdline"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t tmpfs -o nosuid,noexec,mode=755 tmpfs "$root/dev"
: >"$root/dev/null"
mount --bind /dev/null "$root/dev/null"
exec setpriv --bounding-set=-all,+sys_chroot --inh-caps=-all --no-new-privs --seccomp-filter "$deaf" \\
    chroot "$root" "$@"
"""


@dataclass(frozen=True, slots=True)
class Name:
    """`others` are further names that the kernel would know the card by."""

    name: str
    others: tuple[str, ...] = ()


def names_in(host: Host, root: Path, command_line: str, cards: Iterable[Card]) -> dict[str, Name]:
    """By the name each card has here, what the system mounted at `root` would call it.

    `command_line` is what its kernel is told (net.ifnames, biosdevname). A card that it says nothing of, or
    whose first name is not known, is left out. Nothing is written to the volume. Raises Cancelled.
    """
    asked = [card for card in cards if not card.renamed]
    if not asked:
        return {}
    found: dict[str, Name] = {}
    try:
        with opened_at(host, root, readonly=True) as copy, _deaf() as deaf:
            rule = copy.root / RULE_FILE
            rule.parent.mkdir(parents=True, exist_ok=True)
            rule.write_text(RULE)
            for card in asked:
                name = parse(_ask(host, copy, deaf, command_line, card), Tree(root).text)
                if name is not None:
                    found[card.link] = name
    except Cancelled:
        raise
    except (ApplianceError, OSError):
        # Whoever asked hears that it is not known: no reason to stop a rehearsal.
        return found
    return found


def _ask(host: Host, copy: Offline, deaf: Path, command_line: str, card: Card) -> str:
    line = command_line.replace("\n", " ")
    program = ("udevadm", "test", "--action=add", f"/sys/class/net/{card.link}")
    where = (str(copy.root), str(deaf), line, *copy.remounted)
    words = ("unshare", *NAMESPACES, "sh", "-c", LOOK, "twinboot", *where, *program)
    env = (("SYSTEMD_PROC_CMDLINE", line), ("SYSTEMD_COLORS", "0"), ("SYSTEMD_LOG_LEVEL", "warning"))
    return host.run(Command(words, Effect.READ, ANY_STATUS, LIMIT, env=env)).stdout


_PROPERTY = re.compile(r"\s*(TWINBOOT_NAME|ID_NET_[A-Z_]+)=(\S+)\s*")
_POLICY = re.compile(r"^\s*AlternativeNamesPolicy\s*=(.*)", re.M)
_OTHER_NAMES = {
    "database": "ID_NET_NAME_FROM_DATABASE",
    "onboard": "ID_NET_NAME_ONBOARD",
    "slot": "ID_NET_NAME_SLOT",
    "path": "ID_NET_NAME_PATH",
    "mac": "ID_NET_NAME_MAC",
}


def parse(text: str, read: Callable[[str], str | None]) -> Name | None:
    """The name among the properties that `udevadm test` ends with; None where there is none, or it is none.

    `read` reads a file of the copy: the .link file that was taken says which alternative names there are.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        if property_ := _PROPERTY.fullmatch(line):
            found[property_[1]] = property_[2]
    name = found.get("TWINBOOT_NAME", "")
    if not _is_name(name):
        return None
    files = (found.get("ID_NET_LINK_FILE", ""), *found.get("ID_NET_LINK_FILE_DROPINS", "").split(":"))
    said = [words for file in files if file for words in _POLICY.findall(read(file) or "")]
    policy = said[-1].split() if said else []
    others = (found.get(_OTHER_NAMES.get(word, ""), "") for word in policy)
    return Name(name, tuple(dict.fromkeys(other for other in others if _is_name(other) and other != name)))


def _is_name(word: str) -> bool:
    return 0 < len(word) <= LONGEST and word.isprintable() and "/" not in word


AUDIT_ARCH_X86_64, X32 = 0xC000003E, 0x40000000
SOCKET, IO_URING_SETUP, AF_NETLINK = 41, 425, 16
"""linux/audit.h, asm/unistd_64.h, linux/socket.h"""
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 97
"""SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO with EAFNOSUPPORT."""
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
"""BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_JMP|BPF_JGE|BPF_K, BPF_RET|BPF_K (linux/bpf_common.h)"""


def deaf_filter() -> bytes:
    """A seccomp filter (struct sock_filter each) for setpriv(1): no socket but netlink's, no way round it.

    Jumps count the instructions left out. Of struct seccomp_data: nr is at 0, arch at 4, args[0] at 16.
    """
    program = (
        (_LOAD, 0, 0, 4),
        (_EQUAL, 0, 6, AUDIT_ARCH_X86_64),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 4, 0, X32),
        (_EQUAL, 3, 0, IO_URING_SETUP),
        (_EQUAL, 0, 3, SOCKET),
        (_LOAD, 0, 0, 16),
        (_EQUAL, 1, 0, AF_NETLINK),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    )
    return b"".join(struct.pack("=HBBI", *each) for each in program)


@contextlib.contextmanager
def _deaf() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="twinboot-deaf-") as folder:
        file = Path(folder) / "filter"
        file.write_bytes(deaf_filter())
        yield file
