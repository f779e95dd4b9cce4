"""Thick snapshots on real LVM (see real_lvm): it needs dm-snapshot."""

from __future__ import annotations

from pathlib import Path

from appliance.host.run import RealHost
from appliance.model.machine import LogicalVolume, PhysicalVolume, VolumeGroup, mapper_path
from appliance.volumes.cow import CHUNK
from appliance.volumes.lvm_thick import LvmThickStore
from tests.contract.real_lvm import Config, RealBench, group_on_a_file, run, write
from tests.contract.stores import APART

VG = "twinboot_thick"
FILE = Path("/run/twinboot-contract-thick.img")
SIZE = 2048 << 20
"""The file is sparse; the store asks for room that it never fills."""


def _fill(config: Config) -> None:
    run("lvcreate", *config, "-y", "-L", "16m", "-n", "root", VG)
    for block in range(10):
        write(mapper_path(VG, "root"), block, CHUNK)


def real_thick() -> RealBench[LvmThickStore]:
    """A fresh linear volume `root`, 10 blocks of it written."""
    loop, config = group_on_a_file(FILE, SIZE, VG, _fill)
    root = LogicalVolume(name="root", uuid="r", size=16 << 20, segtype="linear")
    group = VolumeGroup(
        name=VG, uuid="vg", extent_size=1 << 20, extent_count=2047, free_count=2031, seqno=1,
        pvs=(PhysicalVolume(path=loop, uuid="pv", size=SIZE),), lvs=(root,),
    )  # fmt: skip
    store = LvmThickStore(RealHost(), group, config, "root")
    return RealBench(store, FILE, loop, config, VG, CHUNK, one_volume=True, with_origin=True, apart=APART)
