"""Entries of the Boot Loader Specification: ours (type 1) written, those of others read from the raw device.

Ours bear no sort-key and no counter: the loader shows them after every entry that has a key, writes nothing
to the file system when it starts one, and takes one only where a variable names it. A unified image of ours
is started with a command line of ours, which stands in for the one inside it (systemd-stub(7)).
"""

from __future__ import annotations

import re

import msgspec

from appliance.boot import entries
from appliance.boot.laid import text_of
from appliance.boot.place import Boot
from appliance.boot.rootname import root_of
from appliance.boot.shapes import Entry
from appliance.probe import bls, unified
from appliance.probe.bls import ENTRIES, BlsEntry
from appliance.probe.unified import FOLDER as IMAGES

NEW, PREVIOUS, SETTLING = "new", "previous", "settle"
# Of two entries of ours the one that sorts first is the one that may be taken where nothing else is left:
# names sort downwards, and so settle, previous, new.
_OURS = re.compile(r"twinboot-(new|previous|settle)-([a-z0-9][a-z0-9._~-]*)\.conf\Z")


def id_of(kind: str, run: str) -> str:
    """File name and id of an entry of ours; the loader compares in lower case."""
    name = f"twinboot-{kind}-{run}.conf".lower()
    assert _OURS.match(name), name
    return name


def path_of(kind: str, run: str) -> str:
    return f"{ENTRIES}/{id_of(kind, run)}"


def ours(name: str) -> tuple[str, str]:
    """(kind, run) that an id of ours names; twice nothing for another's."""
    found = _OURS.match(name.lower())
    return (found[1], found[2]) if found else ("", "")


def is_ours(entry: BlsEntry) -> bool:
    return bool(ours(entry.id)[0])


def text_for(entry: Entry) -> str:
    """The file that makes the loader show `entry`."""
    lines = [f"title      {entries.plain_title(entry.title)}", f"options    {entry.options}"]
    lines.append(f"{'efi  ' if entry.unified else 'linux'}      /{entry.kernel}")
    lines += [f"initrd     /{path}" for path in entry.initrds]
    return "# twinboot\n" + "\n".join(lines) + "\n"


def entry_of(found: BlsEntry) -> Entry:
    """What an entry says, with paths as they are called on the file system."""
    image = path_in(found.efi) if found.is_image or is_ours(found) else ""
    return Entry(
        id=found.id,
        title=found.shown,
        kernel=path_in(found.linux) or image,
        initrds=tuple(map(path_in, found.initrds)),
        options=found.options,
        root=root_of(found.options),
        unified=bool(image),
    )


def place_of(found: BlsEntry) -> str:
    """The file that the entry is, where the loader looks for it."""
    return f"{IMAGES if found.is_image else ENTRIES}/{found.file}"


def path_in(word: str) -> str:
    """A path of an entry as it is called on the file system."""
    return word.replace("\\", "/").lstrip("/")


def read_entries(boot: Boot) -> tuple[BlsEntry, ...]:
    """Every entry the loader shows, unified kernels among them, read as it reads them.

    One whose kernel is not there is left out, as it does (boot.c, config_entry_add_type1)."""
    texts = ((n, text_of(boot.raw.read(f"{ENTRIES}/{n}"))) for n in names_of(boot))
    found = [e for e in (bls.for_systemd_boot(name, text) for name, text in texts) if e is not None]
    folders = {path_in(e.linux or e.efi).rpartition("/")[0] for e in found}
    there = {f"{folder}/{name}".lower().lstrip("/") for folder in folders for name in boot.raw.names(folder)}
    return (*(e for e in found if path_in(e.linux or e.efi).lower() in there), *_images(boot))


def names_of(boot: Boot) -> tuple[str, ...]:
    return tuple(n for n in boot.raw.names(ENTRIES) if n.lower().endswith(".conf"))


def image_in(boot: Boot, path: str) -> unified.Unified | None:
    """The unified image at `path`; None where there is none that reads."""
    return unified.read_unified(lambda at, length: boot.raw.part(path, at, length) or b"")


def _images(boot: Boot) -> tuple[BlsEntry, ...]:
    """Type 2 entries. The loader shows none for an image that does not read."""
    names = unified.images(boot.raw.names(IMAGES))
    found = ((name, image_in(boot, f"{IMAGES}/{name}")) for name in names)
    return tuple(unified.entry_of(name, image) for name, image in found if image is not None)


def kept_entry(own: BlsEntry, version: str) -> BlsEntry | None:
    """The entry that kernel-install makes of kernel `version` beside `own`; None where `own` is none of its
    making. Source: 90-loaderentry.install, <token>-<version>.conf and <token>/<version>/linux; 90-uki-copy
    .install, <token>-<version>.efi."""
    if own.is_image:
        return _kept_image(own, version)
    token = own.id.removesuffix(f"-{own.version.lower()}.conf")
    if (
        not own.version
        or token == own.id
        or path_in(own.linux).lower() != f"{token}/{own.version.lower()}/linux"
    ):
        return None
    file = f"{own.name.stem.removesuffix(own.version)}{version}.conf"
    return msgspec.structs.replace(own, file=file, name=bls.parse_name(file), version=version)


def _kept_image(own: BlsEntry, version: str) -> BlsEntry | None:
    if not own.kernel or not own.name.stem.endswith(f"-{own.kernel}"):
        return None
    file = f"{own.name.stem.removesuffix(own.kernel)}{version}.efi"
    name = bls.parse_name(file)
    return msgspec.structs.replace(own, file=file, name=name, efi=f"/{IMAGES}/{file}", kernel=version)
