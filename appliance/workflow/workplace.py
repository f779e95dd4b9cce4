"""Where one run keeps what it learns between its steps, so that any step can be asked again after a cut."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.host.files import write_atomic
from appliance.model.codec import from_json, to_json
from appliance.model.machine import Machine

RUNTIME = Path("/run/twinboot")


@dataclass(frozen=True, slots=True)
class Workplace:
    """`folder` is on the machine's state volume, `runtime` in the appliance's RAM, `data` on the stick."""

    machine: Machine
    run: str
    folder: Path
    runtime: Path = RUNTIME
    data: Path = RUNTIME / "data"

    @property
    def scratch(self) -> Path:
        return self.runtime / self.run

    def save(self, name: str, value: Any) -> None:
        """Write `value` as JSON under `name`, old or new after any cut."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self.folder / f"{name}.json", to_json(value))

    def load(self, name: str, kind: Any) -> Any:
        """What `save` wrote. Raises DamagedData or FileNotFoundError."""
        path = self.folder / f"{name}.json"
        return from_json(path.read_bytes(), kind, str(path))

    def load_or(self, name: str, kind: Any, otherwise: Any) -> Any:
        """What `save` wrote, or `otherwise` where nothing was written. Raises DamagedData."""
        return self.load(name, kind) if self.saved(name) else otherwise

    def saved(self, name: str) -> bool:
        return (self.folder / f"{name}.json").exists()

    def forget(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.folder / f"{name}.json").unlink()
