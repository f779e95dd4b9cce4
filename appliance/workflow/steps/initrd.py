"""An initrd made anew by the system's own program: in a repaired copy, in a trial volume for the metal."""

from __future__ import annotations

from pathlib import Path

from appliance.boot.artifacts import find_artifacts, modules_folder
from appliance.boot.initrd import initrd_names
from appliance.boot.initrd_maker import loadable, maker_of
from appliance.errors import ApplianceError, BootConfigFailed, Cancelled
from appliance.model.events import Line
from appliance.twin.offline import Offline, opened_at
from appliance.workflow.runner import Context
from appliance.workflow.steps.ground import Ground
from appliance.workflow.steps.metal import root_stack_of, why_not_on_the_metal

LIMIT = 3600.0
"""Seconds. Packing an initrd takes half a minute, and fifty times that on an emulated machine."""


def make_initrd(
    ctx: Context, copy: Offline, version: str, image: str, modules: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Have `copy` make /boot/`image` for its kernel `version`; the names in it. `modules` must be in it.

    Raises BootConfigFailed where it has no program for that, or none was made, or it does not read whole.
    """
    maker = maker_of(copy.root)
    if maker is None:
        raise BootConfigFailed("The copy has neither initramfs-tools nor dracut to build an initrd.")
    said = copy.exec(maker.argv(version, image, modules), timeout=LIMIT)
    text = (said.stdout + said.stderr).decode(errors="replace")
    for words in text.splitlines():
        ctx.tell(Line(source="boot", text=words))
    at = copy.root / "boot" / image
    if said.status or not at.is_file():
        last = text.strip().splitlines()[-1:] or ["it says nothing"]
        raise BootConfigFailed(f"The initrd of {version} could not be built by {maker.name}: {last[0]}")
    return initrd_names(ctx.host, at)


def fit_for_the_metal(ctx: Context, ground: Ground, root: Path, files: Path) -> None:
    """Make the initrd in `files` of the trial volume at `root` anew where this machine's root needs more.

    One that was packed inside the twin may hold only what the twin has. It is made before the proof boot, so
    that what is proven is what boots. Where that does not help it stays as it was: the promotion refuses.
    """
    artifacts = find_artifacts(root, files)
    lacks = _lacking(ctx, ground, root, files)
    stack, folder = root_stack_of(ctx.host, ground), modules_folder(root, artifacts.version)
    if not lacks or stack is None or folder is None:
        return
    for sentence in lacks:
        ctx.tell(Line(source="boot", text=sentence))
    ctx.tell(Line(source="boot", text="the trial volume's initrd is made anew for this machine"))
    (image,) = artifacts.initrds
    first = files / f"{image}.twin"
    (files / image).replace(first)
    try:
        with opened_at(ctx.host, root, files) as copy:
            make_initrd(ctx, copy, artifacts.version, image, loadable(stack.modules, folder))
        still = _lacking(ctx, ground, root, files)
    except Cancelled:
        raise
    except ApplianceError as error:
        still = (error.what,)
    if still:
        first.replace(files / image)
        ctx.tell(Line(source="boot", level="warning", text=f"it cannot be promoted as it is: {still[0]}"))
        return
    first.unlink()
    ctx.tell(Line(source="boot", text="the new initrd holds every driver of this machine's root disk"))


def _lacking(ctx: Context, ground: Ground, root: Path, files: Path) -> tuple[str, ...]:
    """What this machine's root needs and the initrd has not; that it does not read is a sentence, too."""
    artifacts = find_artifacts(root, files)
    try:
        return why_not_on_the_metal(ctx.host, ground, root, artifacts)
    except BootConfigFailed as error:
        return (error.what,)
