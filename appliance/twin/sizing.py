"""How big the twin is: as much of the machine as the appliance can spare. Pure, but for one read of /proc."""

from __future__ import annotations

from pathlib import Path

from appliance.model.machine import Machine

MIB = 1 << 20
LEAST = 512
RESERVE = 512
MOST_CPUS = 8


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int:
    """MiB that can be given away without the appliance running short (proc(5): MemAvailable)."""
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0


def twin_memory(machine: Machine, available: int, wanted: int = 0) -> int:
    """MiB for the twin: what was asked for, else three quarters of the machine's, within what is free."""
    spare = max(0, available - RESERVE)
    share = machine.ram // MIB * 3 // 4
    chosen = min(wanted or share, spare)
    return chosen // 2 * 2


def twin_cpus(machine: Machine) -> int:
    return max(1, min(machine.cpus, MOST_CPUS))


def why_too_small(machine: Machine, available: int, wanted: int = 0) -> tuple[str, ...]:
    """A sentence where no twin can run in the memory that is free; empty where one can."""
    if twin_memory(machine, available, wanted) >= LEAST:
        return ()
    return (
        f"The machine has {machine.ram // MIB} MiB of memory, {available} MiB of it free; "
        f"a twin needs {LEAST} MiB beside {RESERVE} MiB for the appliance.",
    )
