"""A thin pool on real LVM (see real_lvm): it needs dm-thin."""

from __future__ import annotations

from pathlib import Path

from appliance.host.run import RealHost
from appliance.model.machine import LogicalVolume, PhysicalVolume, VolumeGroup, mapper_path
from appliance.volumes.lvm_thin import LvmThinStore
from tests.contract.fake_lvm import BLOCK
from tests.contract.real_lvm import Config, RealBench, group_on_a_file, run, write

VG = "twinboot_contract"
FILE = Path("/run/twinboot-contract.img")
SIZE = 160 << 20


def _fill(config: Config) -> None:
    run("lvcreate", *config, "-y", "--type", "thin-pool", "-L", "96m", "-c", "64k",
        "--poolmetadatasize", "4m", "-n", "pool", VG)  # fmt: skip
    run("lvcreate", *config, "-y", "-V", "16m", "--thinpool", f"{VG}/pool", "-n", "root")
    for block in range(10):
        write(mapper_path(VG, "root"), block, BLOCK)


def real_thin() -> RealBench[LvmThinStore]:
    """A fresh pool with an installed volume `root`, 10 blocks of it written."""
    loop, config = group_on_a_file(FILE, SIZE, VG, _fill)
    pool = LogicalVolume(name="pool", uuid="p", size=96 << 20, segtype="thin-pool")
    group = VolumeGroup(
        name=VG, uuid="vg", extent_size=1 << 20, extent_count=159, free_count=50, seqno=1,
        pvs=(PhysicalVolume(path=loop, uuid="pv", size=SIZE),), lvs=(pool,),
    )  # fmt: skip
    store = LvmThinStore(RealHost(), group, config, "pool")
    return RealBench(store, FILE, loop, config, VG, BLOCK, pool="pool")
