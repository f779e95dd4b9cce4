"""A root that no command line names whole: of a btrfs with subvolumes a start takes the default one.

GRUB's own entries then say the file system's UUID alone, or its device, and the file system decides
(btrfs-subvolume(8), set-default). So such an entry means what is the default when it is asked; entries of
ours name their subvolume.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from appliance.boot.place import BootPlace
from appliance.boot.rootname import joined
from appliance.errors import BootConfigFailed
from appliance.host.files import mounted_readonly
from appliance.host.run import Host
from appliance.probe import btrfs


@dataclass(frozen=True, slots=True)
class DefaultSubvolume:
    """Roots, where the machine's lies on `device`, a btrfs with the UUID `fsuuid`; mounted below `folder`."""

    host: Host
    device: str
    fsuuid: str
    folder: Path

    def whole(self, root: str) -> str:
        uuid = f"UUID={self.fsuuid}"
        if not self.fsuuid or root not in (uuid, self.device):
            return root
        # A thread of the engine that looks is not to take the mount of another from under it.
        here = self.folder / f"{threading.get_native_id()}-default"
        with mounted_readonly(self.host, self.device, "btrfs", here, btrfs.AT_TOP) as top:
            found = btrfs.look(self.host, top)
        if found.uuid != self.fsuuid:
            raise BootConfigFailed(f"{self.device} is not the file system {self.fsuuid} of the root.")
        return joined(uuid, f"/{found.path(found.default)}")


def roots_of(host: Host, place: BootPlace) -> DefaultSubvolume:
    """What names of a root mean where /boot is at `place`."""
    return DefaultSubvolume(host, place.root_device, place.root_fsuuid, place.mount.parent / "btrfs")
