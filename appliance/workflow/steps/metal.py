"""Will it boot on the metal? Initrds, new and old, held against the real machine's root stack."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from appliance.boot.arrays import CONFIGS, why_not_assembled
from appliance.boot.artifacts import modules_folder
from appliance.boot.choose import loader_partition
from appliance.boot.drivers import LVM_MODULES, RootStack, not_in_initrd, root_stack
from appliance.boot.flip import bring_up
from appliance.boot.initrd import initrd_files, initrd_names
from appliance.boot.initrd_maker import INITRAMFS_TOOLS, maker_of
from appliance.boot.shapes import Artifacts
from appliance.errors import BootConfigFailed
from appliance.host.files import mounted_readonly
from appliance.host.run import Host
from appliance.model.machine import Kernel
from appliance.probe.btrfs import has_tools
from appliance.probe.luks import modules_of
from appliance.probe.tree import Tree
from appliance.twin.luks_header import MODULES
from appliance.workflow.steps.ground import Ground

EDITENV = ("usr/bin/grub-editenv", "usr/bin/grub2-editenv")
"""What saves GRUB's default where the entries lie in loader/entries."""


def why_not_on_the_metal(host: Host, ground: Ground, root: Path, artifacts: Artifacts) -> tuple[str, ...]:
    """Sentences for every driver or program of this machine's root disk that the new initrd lacks.

    `root` is the mounted trial volume; its /lib/modules says what the kernel has built in.
    """
    stack = root_stack_of(host, ground)
    if stack is None:
        return (f"The volume group {ground.names.vg} was not found on this machine.",)
    modules = modules_folder(root, artifacts.version)
    if modules is None:
        return (f"The patched system has no modules for its kernel {artifacts.version}.",)
    names: tuple[str, ...] = ()
    for file in artifacts.with_initrds:
        names += initrd_names(host, Path(file.source))
    return (*not_in_initrd(stack, names, modules), *_why_no_array(host, ground, artifacts))


def _why_no_array(host: Host, ground: Ground, artifacts: Artifacts) -> tuple[str, ...]:
    """Sentences for each array beneath the root that the new initrd's own configuration leaves down."""
    group = ground.machine.vg(ground.names.vg)
    layers = ground.machine.mirrors_under(group) if group is not None else ()
    if not layers:
        return ()
    files: dict[str, bytes] = {}
    for file in artifacts.with_initrds:
        files |= initrd_files(host, Path(file.source), CONFIGS)
    texts = [content.decode(errors="replace") for content in files.values()]
    found = (why_not_assembled(text, layer.uuid, layer.name) for layer in layers for text in texts)
    return tuple(sentence for sentence in found if sentence)


def why_not_kept(ground: Ground, root: Path) -> tuple[str, ...]:
    """Sentences on what the patched system mounted at `root` lacks to keep itself."""
    if ground.system.starts_unnamed and not has_tools(Tree(root)):
        return ("The patched system has no btrfs, and could not make its subvolume the default one.",)
    if ground.system.loader.bls and not any(Tree(root).is_file(tool) for tool in EDITENV):
        return ("The patched system has no grub-editenv, and could not make its kernel GRUB's default.",)
    return ()


def root_stack_of(host: Host, ground: Ground) -> RootStack | None:
    """What this machine's own root stands on; None where its volume group is not there."""
    group = ground.machine.group(ground.names.vg)
    if group is None:
        return None
    machine = ground.machine
    disks = tuple(disk.path for disk in machine.disks_under(group))
    ciphers = tuple(layer.cipher for layer in machine.layers_under(group) if layer.cipher)
    # An initrd mounts /usr as well, where that is a volume of its own (initramfs-tools(7)).
    fstypes = (
        ground.system.root.fstype,
        *(v.fstype for v in ground.system.beside_root if v.target == "/usr"),
    )
    mirrored = bool(machine.mirrors_under(group))
    return root_stack(disks, ground.store(host).boot_stack, *fstypes, ciphers=ciphers, mirrored=mirrored)


def why_not_booted(host: Host, ground: Ground) -> tuple[str, ...]:
    """Sentences for every initrd of the installed system that could not bring its root up under snapshots, or
    in a twin whose disk is encrypted in form only.

    Whichever kernel the loader boots after a power cut, it has the root volume as we leave it. Nothing is
    read where neither asks more of an initrd than what it does already.
    """
    kinds, system = ground.copies(host).origin_stack, ground.system
    needed = Needed(
        snapshots=tuple(module for kind in kinds for module in LVM_MODULES.get(kind, ())),
        form=_for_the_form(ground),
    )
    if not needed.any:
        return ()
    store = ground.store(host)
    device, here = store.activate_installed(system.root.member), ground.work.scratch
    try:
        with contextlib.ExitStack() as stack:
            enter = stack.enter_context
            root = enter(mounted_readonly(host, device, system.root.fstype, here / "installed"))
            part, boot = loader_partition(system), root / "boot"
            if part is not None:
                bring_up(host, ground.boot_place())
                boot = enter(mounted_readonly(host, part.path, part.fstype, here / "installed-boot"))
            found = (_why_not_by(host, kernel, needed, root, boot) for kernel in system.kernels)
            return tuple(sentence for sentences in found for sentence in sentences)
    finally:
        store.deactivate_installed(system.root.member)


@dataclass(frozen=True, slots=True)
class Needed:
    """Modules that an initrd needs beyond what the machine's own root asks of it, and what for."""

    snapshots: tuple[str, ...]
    form: tuple[str, ...]

    @property
    def any(self) -> bool:
        return bool(self.snapshots or self.form)


def _for_the_form(ground: Ground) -> tuple[str, ...]:
    """What opens a twin's disk; and what opens the metal's, since an initrd that is made in the twin for what
    is found there (MODULES=dep) would not have it."""
    ciphers = (module for layer in ground.encrypted for module in modules_of(layer.cipher))
    return tuple(dict.fromkeys((*MODULES, *ciphers))) if ground.encrypted else ()


def _why_not_by(host: Host, kernel: Kernel, needed: Needed, root: Path, boot: Path) -> tuple[str, ...]:
    modules = modules_folder(root, kernel.version)
    if not kernel.initrd or modules is None:
        return ()  # nothing boots by this kernel as it is
    try:
        names = initrd_names(host, boot / kernel.initrd)
    except (BootConfigFailed, OSError) as error:
        return (f"The initrd {kernel.initrd} of the installed system does not read: {error}",)
    said = (
        (needed.snapshots, "with a snapshot of its root volume this machine would not boot"),
        (needed.form, "it could not open the disk of a twin"),
    )
    maker, found = maker_of(root) or INITRAMFS_TOOLS, []
    for wanted, why in said:
        if not_in_initrd(RootStack(wanted, ()), names, modules):
            again = maker.on_the_running_system(kernel.version, kernel.initrd, wanted)
            if wanted is needed.form:
                again = maker.with_modules(wanted) + again
            found.append(
                f"The initrd {kernel.initrd} of the installed system lacks the driver {' or '.join(wanted)}: "
                f"{why}. On the running system: {again}."
            )
    return tuple(found)
