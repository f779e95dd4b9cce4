"""The machine, its systems and its lineage in the words of a page. Pure: model in, lines out."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.model.lineage import Lineage, Node, State
from appliance.model.machine import Disk, InstalledSystem, Machine, Volume, VolumeGroup
from appliance.model.messages import Status
from appliance.model.seen import seen_sentence
from appliance.model.verdict import Result
from tui.board import Board
from tui.look import Line, Row, columns, line, pair, rule
from tui.words import count, day, size, state_sentence, state_word, wrap

NARROW = 22
"""Columns of a volume's name where no more can be spared; a verdict is one word there."""
WARNING = " [!] "
STATE_STYLES = {
    State.SEALED: "good",
    State.KEPT: "good",
    State.ARMED: "warn",
    State.TRIAL: "warn",
    State.INVALID: "bad",
    State.FAILED: "bad",
}


def machine_facts(machine: Machine, width: int) -> list[Line]:
    """The machine in five to seven lines: what it is, what is on it, how it boots and whether
    we have seen that go round, what room there is."""
    secure = ", Secure Boot on" if machine.secure_boot else ""
    firmware = f"UEFI{secure}" if machine.firmware.value == "uefi" else "BIOS"
    kvm = f"yes ({machine.virtualisation})" if machine.kvm else "NO, a twin would be slow"
    name, serial = f"{machine.vendor} {machine.product}", f"serial {machine.identity}"
    fits = len(f"{name}, {serial}") <= width - 10
    rows = [
        *(
            [pair("Machine", f"{name}, {serial}", 8)]
            if fits
            else [pair("Machine", name, 8), pair("", serial, 8)]
        ),
        pair("", f"{firmware}, {count(machine.cpus, 'CPU')}, {size(machine.ram)} RAM, KVM: {kvm}", 8),
    ]
    for number, system in enumerate(machine.systems[:3]):
        rows.append(pair("System" if not number else "", system_sentence(system), 8))
    if len(machine.systems) > 3:
        rows.append(pair("", f"and {len(machine.systems) - 3} more: M shows all", 8))
    if not machine.systems:
        rows.append(pair("System", ("none found on these disks: M shows what was seen", "warn"), 8))
    for system in machine.systems[:1]:
        rows.append(pair("Boot", boot_sentence(system, width - 10), 8))
        rows.append(pair("Tried", seen_sentence(system), 8))
    for group in machine.volume_groups[:2]:
        rows.append(pair("Space", space_sentence(group), 8))
    return rows


def system_sentence(system: InstalledSystem) -> str:
    root = system.root
    version = "" if system.os_version in system.os_name else f" {system.os_version}"
    return (
        f"{system.hostname}: {system.os_name}{version} on {root.place} ({root.storage.value}, {root.fstype})"
    )


def boot_sentence(system: InstalledSystem, width: int) -> str:
    """Its loader and where that lies: as much as `width` takes.

    Of the version only upstream's part, of devices the name.
    """
    loader = " ".join(filter(None, (system.loader.name, system.loader.version.partition("-")[0])))
    boot = system.own_boot
    called = boot.array if isinstance(boot, Volume) else ""
    if boot and not called:
        called = boot.path.removeprefix("/dev/").removeprefix("mapper/")
    where = f"{called} {boot.fstype}" if boot else ""
    parts = [
        loader,
        count(len(system.kernels), "kernel"),
        f"/boot {where or 'inside the root volume'}",
        f"ESP {system.esp.path.removeprefix('/dev/')}" if system.esp else "",
        count(len(system.loader.entries), "entry", "entries") if system.loader.entries else "",
    ]
    said = ""
    for part in filter(None, parts):
        longer = f"{said}, {part}" if said else part
        said = longer if len(longer) <= width or not said else said
    return said


def space_sentence(group: VolumeGroup) -> str:
    """Free room in the group, and how full its thin pools are."""
    total, free = group.extent_count * group.extent_size, group.free_count * group.extent_size
    pools = "".join(
        f"; thin pool {lv.data_percent:.0f}% full of {size(lv.size)}"
        for lv in group.lvs
        if lv.segtype == "thin-pool"
    )
    return f"{group.name}: {size(total)}, {size(free)} free{pools}"


def ordered(lineage: Lineage | None) -> list[tuple[int, Node]]:
    """Nodes with their depth, children under their parent, oldest first. A lost parent makes a root."""
    nodes = list(lineage.nodes) if lineage else []
    names = {n.volume for n in nodes} | {n.run for n in nodes if n.run}

    def below(parents: set[str], depth: int, seen: frozenset[str]) -> Iterator[tuple[int, Node]]:
        for node in sorted(nodes, key=lambda n: n.made):
            root = not node.parent or node.parent not in names or node.parent in (node.volume, node.run)
            belongs = root if depth == 0 else not root and node.parent in parents
            if belongs and node.volume not in seen:
                yield depth, node
                yield from below({node.volume, *filter(None, [node.run])}, depth + 1, seen | {node.volume})

    return list(below(set(), 0, frozenset()))


def counted(lineage: Lineage | None) -> str:
    return count(len(lineage.nodes), "volume") if lineage and lineage.nodes else ""


def tree_rows(lineage: Lineage | None, width: int) -> list[Row]:
    """The lineage as a tree with its states in words; the row's key is the volume."""
    nodes = ordered(lineage)
    if not nodes:
        return []
    name = max(NARROW, min(40, width - 58))
    head = columns([("  VOLUME", name), ("MADE", 12), ("OWN SPACE", 9), ("STATE", 0)], "title")
    return [Row(head), *(Row(_tree_line(depth, node, name), node.volume) for depth, node in nodes)]


def _tree_line(depth: int, node: Node, name: int) -> Line:
    branch = "   " * (depth - 1) + "└─ " if depth else ""
    marks = "* boots next" if node.boots_next else "= fallback" if node.fallback else ""
    cells = [(f" {branch}{node.volume}", name), (day(node.made) or "installed", 12)]
    cells.append((size(node.cost) if node.cost else "-", 9))
    state = f"{state_word(node.state):9}"
    verdict = node.verdict if name > NARROW else node.verdict.partition(",")[0]
    rest = "  ".join(x for x in (marks, verdict) if x)
    return (
        *columns(cells),
        (" ", ""),
        (state, STATE_STYLES.get(node.state, "") if node.state else ""),
        (" " + rest, ""),
    )


def node_sentence(node: Node) -> str:
    said = state_sentence(node.state)
    if node.state is State.SEALED and node.unfound:
        said = "tested and sealed, but it names what this machine does not have"
    elif node.state is State.SEALED and node.verdict.startswith(Result.FAIL.value):
        said = "tested and sealed, but the verdict speaks against it"
    parts = [f"{state_word(node.state)}: {said}"]
    if node.verdict:
        parts.append(f"Verdict: {node.verdict}")
    if node.retire_on:
        parts.append(f"to be retired on {node.retire_on}")
    return ". ".join(parts) + "."


def warnings(status: Status | None, machine: Machine | None, width: int) -> list[str]:
    """Notices of the engine and trouble of the machine, one line each.

    A run's own volume is a system as well: that it does not boot by default is no trouble.
    """
    found = list(status.notices) if status else []
    runs = {n.volume for n in status.lineage.nodes if n.run} if status else set()
    if machine is not None:
        found += [t.sentence for t in machine.trouble]
        systems = [s for s in machine.systems if s.root.member not in runs]
        found += [f"{s.hostname}: {t.sentence}" for s in systems for t in s.trouble]
    return [row for text in found for row in _warning_rows(text, width)[:2]]


def first_warnings(status: Status | None, machine: Machine | None, width: int) -> list[str]:
    """The same in two lines: whole where that is room enough, else the first one and how many more."""
    rows = warnings(status, machine, width)
    more = sum(row.startswith(WARNING) for row in rows) - 1
    if len(rows) <= 2 or not more:
        return rows[:2]
    cut = "" if rows[1].startswith(WARNING) else " ..."
    return [rows[0] + cut, f"{WARNING}and {count(more, 'more warning')}: M shows all of them."]


def _warning_rows(text: str, width: int) -> list[str]:
    return wrap(text, width - 2, " " * len(WARNING), WARNING)


def boots(status: Status, outdated: bool) -> tuple[str, str]:
    """What boots next and what boots if that does not come up; of an outdated status neither is told."""
    if outdated:
        return "being read again ...", "being read again ..."
    fallback = status.fallback or "none needed: nothing of this machine was changed"
    return status.next_boot or "the installed system", fallback


def boot_lines(board: Board) -> list[Line]:
    """The same as two rows."""
    if board.status is None:
        return [pair("Next boot", "not known yet", 9)]
    following, fallback = boots(board.status, board.outdated)
    return [pair("Next boot", following, 9), pair("Fallback", fallback, 9)]


def machine_page(machine: Machine, status: Status | None, width: int) -> list[Line]:
    """Everything inspect found, section by section, and what the engine has to say of it."""
    rows = [*machine_facts(machine, width)]
    rows.append(pair("CPU", f"{machine.cpu or 'unknown'}, {count(machine.cpus, 'processor')}", 8))
    rows.append(pair("BMC", machine.bmc or "none found", 8))
    junk = " (the firmware's serial number is junk; this stands in)" if machine.serial_is_junk else ""
    rows.append(pair("Identity", machine.identity + junk, 8))
    trouble = warnings(status, machine, width)
    rows += [rule("Trouble", width), *([line((t, "warn")) for t in trouble] or [line(" none found")])]
    for system in machine.systems:
        rows += _system_lines(system, width)
    rows.append(rule("Disks", width))
    for disk in machine.disks:
        rows += _disk_lines(disk)
    rows.append(rule("Firmware boot order", width))
    rows += [line(f"  {b.number}  {b.label}  {b.path}") for b in machine.boot_order.entries]
    rows += [] if machine.boot_order.entries else [line("  none (BIOS, or the firmware does not say)")]
    return rows


def _system_lines(system: InstalledSystem, width: int) -> list[Line]:
    rows = [
        rule(f"System {system.id}", width),
        line(" " + system_sentence(system)),
        line(" " + boot_sentence(system, width - 2)),
        line(" " + seen_sentence(system)),
    ]
    rows += [
        columns(
            [
                (f"  {v.target}", 18),
                (v.role.value, 10),
                (v.storage.value, 10),
                (size(v.size), 10),
                (v.device, 0),
            ]
        )
        for v in system.volumes
    ]
    rows += [columns([("  kernel", 18), (k.version, 0)]) for k in system.kernels]
    rows += [
        columns([("  boots" if e.default else "  entry", 18), (e.title, 0)]) for e in system.loader.entries
    ]
    return rows


def _disk_lines(disk: Disk) -> list[Line]:
    rows = [
        columns(
            [
                (f"  {disk.path}", 18),
                (disk.bus.value, 7),
                (size(disk.size), 10),
                (disk.table or "no table", 8),
                (f"{disk.model} {disk.serial}" + (f" ({disk.driver})" if disk.driver else ""), 0),
            ]
        )
    ]
    rows += [
        columns([(f"    {p.path}", 18), ("", 7), (size(p.size), 10), (p.fstype or "-", 12), (p.label, 0)])
        for p in disk.partitions
    ]
    return rows
