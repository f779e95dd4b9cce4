"""What a run put into /boot, written beside it: how `staged` and `restore` know what is ours."""

from __future__ import annotations

import msgspec

from appliance.boot.shapes import BootFile, Entry

SCHEMA = 1


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """Of a GRUB that makes its entries of loader/entries: `files` are what keep puts there, `before` the
    names that were there when the run was staged, `saved` the entry that grubenv saved then; empty for none.
    """

    files: tuple[BootFile, ...]
    before: tuple[str, ...]
    saved: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """/boot/twinboot/<run>/manifest.json. `files` is the new system's, `old` what the previous entry
    boots, `before` the names /boot held when the run was staged; `env_before` the sector that was there
    (hex), empty where there was none; `entries` the sha256 of our entries, which another version may have
    written in other words. For systemd-boot `before` are the files of loader/entries, `default_before` is
    what LoaderEntryDefault named, `versions` the kernels of the new system. `bls`: None where GRUB's entries
    stand in grub.cfg."""

    schema: int = SCHEMA
    run: str
    root: str
    old_root: str
    trial: Entry
    previous: Entry
    files: tuple[BootFile, ...]
    old: tuple[BootFile, ...]
    before: tuple[str, ...]
    env_before: str = ""
    entries: str = ""
    default_before: str = ""
    versions: tuple[str, ...] = ()
    bls: Carried | None = None
