"""Writing our own GRUB entries: a run's entries.cfg, made from the machine's own default entry."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from appliance.boot import rootname
from appliance.boot.place import BootPlace
from appliance.boot.shapes import Entry, StagedSystem
from appliance.errors import BootConfigFailed

FOLDER = "twinboot"
_CUSTOM = Path(__file__).with_name("grub-custom.cfg")
_FIND_SECTOR = Path(__file__).with_name("grub-sector.cfg")
_ENTRIES = Path(__file__).with_name("grub-entries.cfg")
_KEPT = Path(__file__).with_name("grub-kept.cfg")
_KEPT_CUSTOM = Path(__file__).with_name("grub-kept-custom.cfg")
_SETTLE = Path(__file__).with_name("grub-settle.cfg")
_IN_BOOT, _APART = "${tb_folder}/env", "${tb_env}"
"""What GRUB calls the file with the sector that decides."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*\Z")
_WORD = re.compile(r"[A-Za-z0-9._=:/,+-]+\Z")

# A dead kernel comes back to the loader after 30 s; a resume image of the old system is never read.
PANIC = 30
"""Seconds."""
TRIAL_WORDS = (f"panic={PANIC}", "noresume")


def plain_title(text: str) -> str:
    """A title without anything a script or a terminal could take for more than text."""
    return re.sub(r"[^A-Za-z0-9 ._:/()+,-]", "", text)[:90]


def _checked(value: str, form: re.Pattern[str], what: str) -> str:
    if not form.match(value):
        raise BootConfigFailed(f"{what} {value!r} is not fit for a boot entry.")
    return value


def with_root(options: str, root: str, extra: tuple[str, ...] = ()) -> str:
    """A command line that names `root` and has `extra` words after it; the rest word for word."""
    named = rootname.named(options, root)
    ours = ("twinboot.", *(f"{word.partition('=')[0]}=" for word in named))
    words = [word for word in options.split() if not word.startswith(ours) and word not in extra]
    words += [_checked(word, _WORD, "The kernel argument") for word in extra]
    return " ".join([*named, *words])


def path_of(folder: str, name: str) -> str:
    """The path in GRUB's words of a file in one of our folders."""
    inner = folder.removeprefix(FOLDER + "/")
    for part in [*inner.split("/"), name]:
        _checked(part, _NAME, "The file name")
    return "${tb_folder}/" + f"{inner}/{name}"


def _quoted(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f'"{path_of(folder, name)}"'


def _prelude(entry: Entry) -> str:
    """What the machine's own entry does before it loads, and the modules any entry needs to read /boot."""
    needed = ("insmod gzio", "insmod part_gpt", "insmod part_msdos", "insmod ext2")
    return "\n".join(f"\t{line}" for line in dict.fromkeys((*entry.prelude, *needed)))


def _linux(entry: Entry) -> str:
    return f"linux {_quoted(entry.kernel)} {entry.options}"


def _initrd(entry: Entry) -> str:
    """`true` stands where there is no initrd: a line must succeed."""
    return f"initrd {' '.join(map(_quoted, entry.initrds))}" if entry.initrds else "true"


def trial_entry(wanted: StagedSystem, own: Entry) -> Entry:
    """The new system's entry: the machine's own command line, root= turned to the trial volume."""
    files = f"{FOLDER}/{wanted.run}/files"
    extra = (*TRIAL_WORDS, f"twinboot.trial={wanted.run}", *wanted.extra)
    return Entry(
        id=f"twinboot-trial-{wanted.run}",
        title=plain_title(f"Trial of {wanted.run}: {wanted.title}"),
        kernel=f"{files}/{wanted.artifacts.kernel}",
        initrds=tuple(f"{files}/{name}" for name in wanted.artifacts.initrds),
        options=with_root(own.options, wanted.root, extra),
        root=wanted.root,
        prelude=own.prelude,
        unified=wanted.artifacts.unified,
    )


def previous_entry(wanted: StagedSystem, own: Entry) -> Entry:
    """What the machine boots so far, from names of ours that no package manager knows."""
    old = f"{FOLDER}/{wanted.run}/old"
    return Entry(
        id="twinboot-previous",
        title=plain_title(f"Previous system, as before {wanted.run}"),
        kernel=f"{old}/{own.kernel.rpartition('/')[2]}",
        initrds=tuple(f"{old}/{path.rpartition('/')[2]}" for path in own.initrds),
        options=with_root(own.options, wanted.old_root),
        root=wanted.old_root,
        prelude=own.prelude,
        unified=own.unified,
    )


def settling_entry(own: Entry, base: str, id: str, fsuuid: str) -> Entry:
    """The kept system by its root's UUID, from copies of the loader's own kernel and initrds in `base`."""
    kernel, *initrds = (f"{base}/{path.rpartition('/')[2]}" for path in (own.kernel, *own.initrds))
    return Entry(
        id=id,
        title="This system, while its root volume gets its name back",
        kernel=kernel,
        initrds=tuple(initrds),
        options=with_root(own.options, f"UUID={fsuuid}"),
        root=f"UUID={fsuuid}",
        prelude=own.prelude,
        unified=own.unified,
    )


def custom(place: BootPlace) -> str:
    """The text of custom.cfg."""
    at = place.sector
    found = _FIND_SECTOR.read_text() if at else ""
    words = {"@UUID@": _checked(at.fsuuid, _NAME, "The UUID"), "@PATH@": at.path} if at else {}
    return _filled(
        _CUSTOM.read_text(), {"@FIND@\n": _filled(found, words), "@ENV@": _APART if at else _IN_BOOT}
    )


@dataclass(frozen=True, slots=True)
class Inside:
    """Two roots with a /boot inside each: the file systems of `new` and `old` by their UUIDs, `prefix` and
    `folder` as in BootPlace."""

    new: str
    old: str
    prefix: str
    folder: str

    def words(self) -> dict[str, str]:
        new, old = (_checked(uuid, _NAME, "The UUID") for uuid in (self.new, self.old))
        return {"@NEW@": new, "@OLD@": old, "@PREFIX@": self.prefix, "@FOLDER@": self.folder}


def kept_custom_cfg(run: str, inside: Inside) -> str:
    """The text of custom.cfg in the new root's own /boot, once that is kept."""
    return _filled(_KEPT_CUSTOM.read_text(), {"@RUN@": _checked(run, _NAME, "The run"), **inside.words()})


def entries_cfg(
    run: str, trial: Entry, previous: Entry, place: BootPlace, inside: Inside | None = None
) -> str:
    """The text of /boot/twinboot/<run>/entries.cfg. Where /boot lies `inside` each root, the kept one's own
    grub.cfg is gone on with."""
    loaded = [path.removeprefix(FOLDER + "/") for path in (trial.kernel, *trial.initrds)]
    files = "".join(f' -a -s "${{tb_folder}}/{path}"' for path in loaded)
    words = {
        "@RUN@": _checked(run, _NAME, "The run"),
        "@TRIAL_TITLE@": trial.title,
        "@PREVIOUS_TITLE@": previous.title,
        "@TRIAL_FILES@": files,
        "@PRELUDE@": _prelude(trial),
        "@TRIAL_LINUX@": _linux(trial),
        "@TRIAL_INITRD@": _initrd(trial),
        "@PREVIOUS_LINUX@": _linux(previous),
        "@PREVIOUS_INITRD@": _initrd(previous),
        "@ENV@": _APART if place.sector else _IN_BOOT,
        "@KEPT@": _filled(_KEPT.read_text(), inside.words()) if inside else "",
    }
    return _filled(_ENTRIES.read_text(), words)


def settle_cfg(run: str, entry: Entry) -> str:
    """The text of the one entry that boots the kept system by UUID while its volume is renamed."""
    words = {
        "@RUN@": _checked(run, _NAME, "The run"),
        "@TITLE@": entry.title,
        "@PRELUDE@": _prelude(entry),
        "@LINUX@": _linux(entry),
        "@INITRD@": _initrd(entry),
    }
    return _filled(_SETTLE.read_text(), words)


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub("|".join(map(re.escape, words)), lambda m: words[m[0]], text) if words else text
