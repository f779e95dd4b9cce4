"""A stick as a technician prepares it: a copy of the image with files on its data partition."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from tests.lab.native import LabError, run

FIRST_PARTITION = "1:"

UNGUARDED = "mitigations=off"
"""What the lab's Debian has on its kernel's command line as well: where both are measured, both have it."""

EMULATED = ("kvm.min_timer_period_us=200000", "nohz=off", "highres=off", UNGUARDED)
"""For the appliance's kernel on an emulated machine.

The first: OVMF's timer in the twin then ticks five times a second. QEMU up to 10 at least aborts when a guest
of its emulated AMD-V writes CR8 while a virtual interrupt is pending: helper_write_crN raises it without the
lock that tcg_handle_interrupt asserts. OVMF writes CR8 at the end of every interrupt, and at 100 ticks a
second the next one is often pending by then. Linux does not.

The others: each interrupt of the machine's own takes the processor from the twin, and empties the emulated
translation buffers twice. Without high resolution timers the twin's tick comes with the machine's own (160
interrupts a second for 400), and without guards against Spectre it goes in and out with less.
"""


def data_offset(image: Path) -> int:
    """Where the first partition (FAT, label TWINBOOT) begins, in bytes."""
    return _data_partition(image)[0]


def data_size(stick: Path) -> int:
    """Bytes of the data partition of a pulled stick (qcow2)."""
    raw = stick.with_suffix(".raw")
    run("qemu-img", "convert", "-O", "raw", stick, raw)
    size = _data_partition(raw)[1]
    raw.unlink()
    return size


def _data_partition(image: Path) -> tuple[int, int]:
    """Beginning and length of a raw image's first partition, in bytes."""
    for line in run("parted", "-sm", image, "unit", "B", "print").splitlines():
        if line.startswith(FIRST_PARTITION):
            begin, _, length = (int(field.rstrip("B")) for field in line.split(":")[1:4])
            return begin, length
    raise LabError(f"{image} has no first partition.")


def prepare(image: Path, target: Path, files: dict[str, bytes], extra_args: str = "") -> Path:
    """Copy the raw `image` to `target` and put `files` ("plans/x.json") on its data partition.

    `extra_args` are appended to the kernel command line of the image's own menu (twinboot/boot.cfg).
    """
    arguments = " ".join(word for word in (extra_args, *EMULATED) if word)
    return _with_files(image, target, {**files, **_settings("set timeout=0", arguments)})


def unguarded(image: Path, target: Path) -> Path:
    """Copy the raw `image` to `target`; it starts as a person's stick does, but like the lab's Debian."""
    return _with_files(image, target, _settings("", UNGUARDED))


def _settings(more: str, arguments: str) -> dict[str, bytes]:
    return {"twinboot/boot.cfg": f'{more}\nset extra_args="{arguments}"\n'.encode()}


def _with_files(image: Path, target: Path, files: dict[str, bytes]) -> Path:
    shutil.copyfile(image, target)
    where = f"{target}@@{data_offset(target)}"
    for name, content in files.items():
        source = target.with_suffix(".part")
        source.write_bytes(content)
        run("mcopy", "-o", "-i", where, source, f"::/{name}")
        source.unlink()
    return target


def fetch(stick: Path, name: str, target: Path) -> Path:
    """Copy the folder or file `name` from the data partition of a pulled stick (qcow2) to `target`."""
    raw = stick.with_suffix(".raw")
    run("qemu-img", "convert", "-O", "raw", stick, raw)
    target.mkdir(parents=True, exist_ok=True)
    run("mcopy", "-s", "-n", "-i", f"{raw}@@{data_offset(raw)}", f"::/{name}", target)
    raw.unlink()
    return target / Path(name).name


def bring(stick: Path, into: str, folders: Iterable[Path], target: Path) -> Path:
    """The pulled stick (qcow2) as the raw image `target`, with copies of `folders` in its folder `into`."""
    run("qemu-img", "convert", "-O", "raw", stick, target)
    for folder in folders:
        run("mcopy", "-s", "-n", "-i", f"{target}@@{data_offset(target)}", folder, f"::/{into}/")
    return target
