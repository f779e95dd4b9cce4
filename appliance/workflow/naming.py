"""Every name a run may use, chosen while planning, so that a crash cannot lose one."""

from __future__ import annotations

import re

from msgspec.structs import replace

from appliance.model.lineage import Lineage
from appliance.model.machine import InstalledSystem, Machine
from appliance.model.plan import Names
from appliance.volumes.choose import traits

OURS = re.compile(r"-tb\d+$")


def next_run(machine: Machine, vg: str, lineage: Lineage) -> str:
    """The next free run name, "tb1" on an untouched machine; a remembered number is not used again."""
    group = machine.group(vg)
    tags = {tag for lv in (group.lvs if group else ()) for tag in lv.tags}
    names = {tag.removeprefix("twinboot.run=") for tag in tags} | {node.run for node in lineage.nodes}
    used = [int(name.removeprefix("tb")) for name in names if re.fullmatch(r"tb\d+", name)]
    return f"tb{max(used, default=0) + 1}"


def choose_names(system: InstalledSystem, run: str) -> Names:
    stem = OURS.sub("", system.root.name)
    trial, one = f"{stem}-{run}", traits(system).one_volume
    beside = [(v.lv, f"{OURS.sub('', v.lv)}-{run}") for v in system.beside_root if v.lv]
    data = [OURS.sub("", v.lv) for v in system.data if v.lv]
    # A copy of a whole file system has its data subvolumes in it.
    safe = [*data, *(v.subvolume for v in system.data if v.subvolume and v.group == system.root.group)]
    return Names(
        run=run,
        vg=system.root.group,
        base=f"{stem}-{run}-base",
        work=trial if one else f"{stem}-{run}-work",
        sealed=trial if one else f"{stem}-{run}-sealed",
        trial=trial,
        proof=f"{stem}-{run}-proof",
        scratch=f"{run}-scratch",
        proof_scratch=f"{run}-proof-scratch",
        set_base=tuple((lv, f"{ours}-base") for lv, ours in beside),
        set_work=tuple((lv, f"{ours}-work") for lv, ours in beside),
        set_sealed=tuple((lv, f"{ours}-sealed") for lv, ours in beside),
        set_trial=tuple(beside),
        set_proof=tuple((lv, f"{ours}-proof") for lv, ours in beside),
        data_work=tuple((lv, f"{lv}-{run}-work") for lv in data),
        data_proof=tuple((lv, f"{lv}-{run}-proof") for lv in data),
        data_before=tuple((lv, f"{lv}-{run}-before") for lv in data),
        data_safety=tuple((lv, f"{lv}-{run}-safety") for lv in dict.fromkeys(safe)),
        data_undone=tuple((lv, f"{lv}-{run}-undone") for lv in dict.fromkeys(safe)),
        domain=f"twinboot-{run}",
        boot_folder=f"twinboot/{run}",
    )


def throw_away_names(system: InstalledSystem, run: str) -> Names:
    """Those of a run whose copy lies elsewhere and is thrown away: nothing is sealed to be kept or proven."""
    return replace(
        choose_names(system, run),
        work=f"{OURS.sub('', system.root.name)}-{run}-work",
        sealed=f"{OURS.sub('', system.root.name)}-{run}-work",
        trial="",
        proof="",
        proof_scratch="",
        set_base=(),
        set_work=(),
        set_sealed=(),
        set_trial=(),
        set_proof=(),
        data_work=(),
        data_proof=(),
        data_before=(),
        data_safety=(),
        data_undone=(),
        boot_folder="",
    )


def with_every_name(names: Names) -> Names:
    """The names of a run that was planned before a roll back could put data away."""
    undone = tuple((lv, f"{lv}-{names.run}-undone") for lv, _ in names.data_safety)
    return names if names.data_undone else replace(names, data_undone=undone)
