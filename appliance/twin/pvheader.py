"""The twin's LVM metadata, written to the twin's own PVs through an LVM that sees nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from appliance.errors import TwinFailed
from appliance.host.run import Command, Effect, Host, Output
from appliance.twin.segments import TwinLayout

LIMIT = 180.0


def write_lvm_metadata(host: Host, layout: TwinLayout, nodes: Sequence[str], folder: Path) -> None:
    """Label the twin's PVs at `nodes` (in the order of `layout.pvs`) and write the VG's text to them.

    `folder` (in memory) becomes LVM_SYSTEM_DIR: a configuration, backups and locks of its own, so the
    machine's VG of the same name and id is never looked at. Nothing is activated. Read back at the end:
    raises TwinFailed where LVM does not find the volumes that were meant.
    """
    (folder / "run").mkdir(parents=True, exist_ok=True)
    (folder / "lvm.conf").write_text(isolated_config(nodes, folder / "run"))
    text = folder / f"{layout.vg}.vg"
    text.write_text(layout.vg_text)
    for pv, node in zip(layout.pvs, nodes, strict=True):
        _lvm(host, folder, Effect.WRITE,
             "pvcreate", "-y", "-ff", "--uuid", pv.uuid, "--restorefile", str(text), node)  # fmt: skip
    _lvm(host, folder, Effect.WRITE, "vgcfgrestore", "-y", "-f", str(text), layout.vg)
    _read_back(host, layout, folder)


def isolated_config(nodes: Sequence[str], locks: Path) -> str:
    """lvm.conf(5) with which LVM sees exactly `nodes`, follows no event and activates nothing by itself."""
    accept = ", ".join(f'"a|^{node}$|"' for node in nodes)
    return (
        "devices {\n"
        f'  filter = [ {accept}, "r|.*|" ]\n'
        f'  global_filter = [ {accept}, "r|.*|" ]\n'
        "  use_devicesfile = 0\n  obtain_device_list_from_udev = 0\n  scan_lvs = 0\n"
        '  external_device_info_source = "none"\n  hints = "none"\n}\n'
        "global {\n"
        "  event_activation = 0\n  use_lvmpolld = 0\n  use_lvmlockd = 0\n  notify_dbus = 0\n"
        f'  locking_dir = "{locks}"\n}}\n'
        "activation {\n  monitoring = 0\n  auto_activation_volume_list = []\n}\n"
        "backup {\n  backup = 0\n  archive = 0\n}\n"
    )


def _lvm(host: Host, folder: Path, effect: Effect, *argv: str) -> Output:
    env = (("LVM_SYSTEM_DIR", str(folder)),)
    return host.run(Command(argv, effect, timeout=LIMIT, env=env))


def _read_back(host: Host, layout: TwinLayout, folder: Path) -> None:
    found = _lvm(host, folder, Effect.READ, "lvs", "--reportformat", "json", "-o", "lv_name", layout.vg)
    rows = json.loads(found.stdout)["report"][0]["lv"]
    names = {row["lv_name"] for row in rows}
    wanted = set(layout.volumes) | {swap.lv for swap in layout.swaps} | set(layout.linear)
    if names != wanted:
        raise TwinFailed(
            f"The twin's volume group holds {sorted(names)} where {sorted(wanted)} were written."
        )
