"""GRUB after a decision: putting the old boot files back, or giving the kept volume its first name."""

from __future__ import annotations

import re

from appliance.boot import entries, grub_bls, grubcfg
from appliance.boot.flip import replace
from appliance.boot.grub_menu import read_menu
from appliance.boot.laid import BESIDE, text_of
from appliance.boot.manifest import Manifest
from appliance.boot.place import Boot
from appliance.boot.shapes import SETTLE, Entry, LoaderView
from appliance.errors import BootConfigFailed, Refused

# What belongs to one kernel in /boot on Debian: the package's files and the initrd made for it.
_OF_KERNEL = re.compile(r"(?:vmlinuz|initrd\.img|config|System\.map)-(.+)\Z")


MADE = "grub.cfg.made"
"""In the run's folder: the grub.cfg that keep made there (keep.sh)."""


def _own(boot: Boot, text: bytes) -> Entry | None:
    return read_menu(boot, text.decode("utf-8", "replace")).own


def put_back(boot: Boot, manifest: Manifest, owned: tuple[str, ...], *, pinned: bool) -> None:
    """While the env block pins the previous system: its kernels back to their names, then grub.cfg.

    grub.cfg is put back only where its default boots the run's own root, or where keep made it, which may
    name no root whole; one that the old system has written since stays. `pinned`: an earlier run's sector
    pins the old system afterwards, so that grub.cfg may name what it likes but the run's root. Raises
    BootConfigFailed where GRUB's own default would not boot the old system.
    """
    base, path = f"{entries.FOLDER}/{manifest.run}", f"{boot.place.folder}/grub.cfg"
    _put_back_kernels(boot, manifest, base, owned)
    grub_bls.put_back(boot, manifest, owned)
    text = boot.disk.read(path) or b""
    now, kept = _own(boot, text), boot.disk.read(f"{base}/{MADE}")
    if now is None or now.root == manifest.root or text == kept:
        first = boot.disk.read(f"{base}/before/grub.cfg.first") or b""
        now = _own(boot, first)
        if now is not None and now.root != manifest.root and boot.raw.sha256(now.kernel) is not None:
            replace(boot, path, first, f"{base}/before/grub.cfg.kept")
    good = pinned if now is None else pinned or not owned or now.kernel in owned
    if not good or (now is not None and now.root == manifest.root):
        raise BootConfigFailed(
            "GRUB's own configuration does not boot the old system.",
            safe="The old system is pinned by Twinboot's entry and boots.",
            next_actions=("Start the old system and run update-grub there.", "Then retire again."),
        )


def _put_back_kernels(boot: Boot, manifest: Manifest, base: str, owned: tuple[str, ...]) -> None:
    """Names that keep replaced or the new system's package manager took away."""
    left = {name for name in boot.disk.names("") if name.endswith(BESIDE)}
    for name in left:
        boot.disk.remove(name)
    there = set(boot.disk.names(""))
    new = {file.name: file.sha256 for file in manifest.files}
    changed = bool(left)
    for name in manifest.before:
        first = f"{base}/before/{name}"
        if name not in there and (not owned or name in owned):
            boot.disk.link(first, name)
        elif name in new and boot.raw.sha256(name) == new[name] != boot.raw.sha256(first):
            boot.disk.link(first, name + BESIDE)
            boot.disk.rename(name + BESIDE, name)
        else:
            continue
        changed = True
    if changed:
        boot.disk.settle()


def remove_kernels(boot: Boot, manifest: Manifest, owned: tuple[str, ...]) -> None:
    """Remove from /boot what keep put there, and with `owned` every kernel nobody owns any more.

    Without `owned` a kernel that grub.cfg names stays: the old system may have installed the same one since.
    """
    mine = {file.name for file in manifest.files}
    menu = read_menu(boot, text_of(boot.disk.read(f"{boot.place.folder}/grub.cfg")))
    named = {entry.kernel.removeprefix("vmlinuz-") for entry in menu.entries}
    for name in boot.disk.names(""):
        found = _OF_KERNEL.match(name)
        if found is None or name in manifest.before:
            continue
        stale = name not in owned if owned else name in mine and found[1] not in named
        if stale:
            boot.disk.remove(name)
    boot.disk.settle()


def settle_entry(boot: Boot, found: LoaderView, run: str, fsuuid: str) -> str:
    """Lay down the entry that boots the kept system by UUID; returns its text. No flip yet."""
    own = found.own
    if own is None:
        raise Refused(("GRUB's own default entry could not be found.",))
    base = f"{entries.FOLDER}/{run}{SETTLE}"
    boot.disk.make_folder(base)
    names = [path.rpartition("/")[2] for path in (own.kernel, *own.initrds)]
    for path, name in zip((own.kernel, *own.initrds), names, strict=True):
        boot.disk.link(path, f"{base}/{name}")
    entry = entries.settling_entry(own, base, "twinboot-settle", fsuuid)
    text = entries.settle_cfg(f"{run}{SETTLE}", entry)
    boot.disk.create(f"{base}/env.kept", boot.disk.read(f"{entries.FOLDER}/{run}/env.kept") or b"")
    boot.disk.create(f"{base}/entries.cfg", text.encode())
    boot.disk.settle()
    if boot.raw.read(f"{base}/entries.cfg") != text.encode():
        raise BootConfigFailed("The loader does not read the settling entry as it was written.")
    for path, name in zip((own.kernel, *own.initrds), names, strict=True):
        if boot.raw.sha256(f"{base}/{name}") != boot.raw.sha256(path):
            raise BootConfigFailed(f"The loader does not read /boot/{base}/{name} as /boot/{path}.")
    return text


def take_over(boot: Boot, run: str, old_root: str, new_root: str) -> None:
    """GRUB's own entries boot `new_root` where they booted `old_root`, as the system's own update-grub, or
    the tool that makes its entries, would write."""
    path = f"{boot.place.folder}/grub.cfg"
    text = (boot.disk.read(path) or b"").decode("utf-8", "surrogateescape")
    turned = grubcfg.with_root(text, old_root, new_root)
    if turned != text:
        replace(boot, path, turned.encode("utf-8", "surrogateescape"), f"{entries.FOLDER}/{run}/grub.cfg.old")
    if read_menu(boot, turned).bls:
        grub_bls.take_over(boot, run, old_root, new_root)
    own = _own(boot, boot.raw.read(path) or b"")
    if own is None or own.root != new_root:
        raise BootConfigFailed(f"GRUB's own default entry does not boot {new_root}.")
