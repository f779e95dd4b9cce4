"""Takes a run's record away: gathered from where it lies, packed without secrets, delivered whole."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ApplianceError, ExportFailed, Refused
from appliance.host.run import Host
from appliance.model.codec import to_json, to_pretty_json
from appliance.model.events import AnyEvent
from appliance.model.machine import Machine
from appliance.model.service_messages import STICK, Exported
from appliance.report.bundle import Packed, Part, pack, parts_of
from appliance.report.deliver import to_address, to_folder, why_no_address
from appliance.report.log import log_text
from appliance.report.record import read_record
from appliance.workflow.places import Places

Progress = Callable[[str, int, int, str], None]
"""Told words, how many of how many, and their unit."""
PAGES = ("report.html", "report.txt")


@dataclass(frozen=True, slots=True)
class Exporter:
    """`is_stick`: is a stick mounted at this folder? After a network boot the data folder is a plain one."""

    host: Host
    places: Places
    is_stick: Callable[[Path], bool] = os.path.ismount

    def export(
        self,
        machine: Machine | None,
        run: str,
        to: str,
        events: Sequence[AnyEvent],
        tell: Progress,
        proxy: str = "",
    ) -> Exported:
        """The record of `run`, or machine and log alone where `run` is empty, to `to`.

        `machine` is None where it could not be read: then the log is what support needs.
        Raises Refused (no such run, no such place) before anything is written, ExportFailed and OutOfSpace
        with nothing left behind.
        """
        root = self._root(to)
        acts = self._acts(machine, run)
        name = _archive_name(machine, run)
        scratch = self.places.runtime / "export"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            packed = pack(
                self._parts(machine, run, events),
                scratch / f"{name}.tar.gz",
                name,
                lambda done, total: tell("packing", done, total, "files"),
            )
            where = self._deliver(packed, root, acts, to, _stem(machine, run), tell, proxy)
            return Exported(
                where=where,
                file=packed.archive.name,
                size=packed.archive.stat().st_size,
                files=packed.files,
                masked=packed.masked,
                unread=packed.unread,
            )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def stick(self) -> Path:
        """The stick's data partition. Raises ExportFailed where there is no stick."""
        if not self.is_stick(self.places.data):
            raise ExportFailed(
                "There is no stick: this image was started over the network, or the stick was pulled.",
                next_actions=(
                    "Export to an address: twinboot export --to http://SERVER/FOLDER/",
                    "Export into a folder of the appliance, --to /tmp, and fetch it by ssh.",
                ),
            )
        return self.places.data

    def _root(self, to: str) -> Path | None:
        """The folder to export into; None for an address. Raises Refused and ExportFailed."""
        if to == STICK:
            return self.stick()
        if to.startswith("/"):
            return Path(to)
        if reasons := why_no_address(to):
            raise Refused(
                (f'"{to}" is no place to export to: stick, an absolute folder or an address.', *reasons)
            )
        return None

    def _acts(self, machine: Machine | None, run: str) -> tuple[Path, ...]:
        """The folders of the run's acts. Raises Refused where the history has no such run."""
        if not run:
            return ()
        if machine is None:
            raise Refused((f"The machine could not be read, so neither can its run {run}: export the log.",))
        known = re.fullmatch(r"[A-Za-z0-9-]+", run)
        if known:
            self.places.mount(self.host, machine)
        folder = self.places.folder(run)
        if not known or not folder.is_dir():
            raise Refused((f"The machine's history has no run {run}.",))
        return tuple(sorted(p for p in folder.iterdir() if p.is_dir()))

    def _parts(self, machine: Machine | None, run: str, events: Sequence[AnyEvent]) -> tuple[Part, ...]:
        parts = [Part("machine.json", to_pretty_json(machine).encode())] if machine else []
        parts += [
            Part("log.txt", log_text(events).encode()),
            Part("log.jsonl", b"".join(to_json(event) + b"\n" for event in events)),
        ]
        parts += [p for p in parts_of(self.places.runtime / "shells", "shells") if p.name.endswith(".log")]
        if run:
            folder = self.places.folder(run)
            parts += parts_of(folder)
            parts += _consoles(folder)
            parts += _of_this_start(self.places.runtime / run)
        return tuple(parts)

    def _deliver(
        self,
        packed: Packed,
        root: Path | None,
        acts: Sequence[Path],
        to: str,
        below: str,
        tell: Progress,
        proxy: str,
    ) -> str:
        if root is None:
            size = packed.archive.stat().st_size
            tell("sending", 0, size, "bytes")
            where = to_address(self.host, packed.archive, to, proxy)
            tell("sending", size, size, "bytes")
            return where
        pages = [(f"{act.name}/{page}", act / page) for act in acts for page in PAGES]
        files = [*((name, page) for name, page in pages if page.is_file())]
        files.append((packed.archive.name, packed.archive))
        below = f"reports/{below}" if to == STICK else below
        return str(to_folder(files, root, below, lambda done, total: tell("writing", done, total, "bytes")))


def _stem(machine: Machine | None, run: str) -> str:
    """Names the machine too: one stick goes round many machines, and each has a tb1."""
    identity = re.sub(r"[^A-Za-z0-9._-]+", "-", machine.identity if machine else "").strip("-.")
    return f"{identity or 'machine'}-{run or 'log'}"


def _archive_name(machine: Machine | None, run: str) -> str:
    return f"twinboot-{_stem(machine, run)}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"


def _consoles(folder: Path) -> list[Part]:
    """What the twins said on their consoles, as text files, out of each act's record."""
    found = []
    for path in sorted(folder.glob("*/record.json")):
        try:
            consoles = read_record(path.parent).consoles
        except ApplianceError:
            continue  # the damaged record itself is in the archive
        for console in consoles:
            name = re.sub(r"[^A-Za-z0-9]+", "-", console.name)
            found.append(Part(f"{path.parent.name}/console-{name}.txt", console.text.encode()))
    return found


def _of_this_start(scratch: Path) -> list[Part]:
    """Whole serial logs and screenshots, which stay in memory and go with this start of the appliance."""
    return [p for p in parts_of(scratch, "memory") if Path(p.name).suffix in (".log", ".png")]
