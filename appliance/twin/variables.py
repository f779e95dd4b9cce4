"""The boot loader's own variables in a twin's variable store: what leads its systemd-boot, while it is off.

Source: systemd's LOADER_INTERFACE; values are UTF-16 with a closing zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from virt.firmware.efi import efivar, guids, ucs16
from virt.firmware.varstore import edk2

from appliance.errors import TwinFailed

GUID = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
ATTRIBUTES = 7
"""Non-volatile, boot service access, run-time access."""


@dataclass(frozen=True, slots=True)
class TwinVariables:
    """Read and written as boot.base.Variables wants it, in the twin's store at `file`. Raises TwinFailed."""

    file: Path

    def why_not(self) -> tuple[str, ...]:
        return () if self.file.is_file() else ("This twin has no UEFI variables.",)

    def read(self, name: str) -> str | None:
        if not self.file.is_file():
            return None
        _, variables = self._open()
        found = variables.get(name)
        return None if found is None else bytes(found.data).decode("utf-16-le", "replace").partition("\0")[0]

    def write(self, name: str, value: str) -> None:
        store, variables = self._open()
        variable = efivar.EfiVar(ucs16.from_string(name), guid=guids.parse_str(GUID), attr=ATTRIBUTES)
        variable.data = value.encode("utf-16-le") + b"\0\0"
        variables[name] = variable
        self._close(store, variables)

    def remove(self, name: str) -> None:
        if self.file.is_file():
            store, variables = self._open()
            if name in variables:
                variables.delete(name)
                self._close(store, variables)

    def _open(self) -> tuple[edk2.Edk2VarStore, efivar.EfiVarList]:
        try:
            store = edk2.Edk2VarStore(str(self.file))
            return store, store.get_varlist()
        except (OSError, SystemExit, ValueError) as error:
            # SystemExit: how virt-firmware says that a store is damaged.
            raise TwinFailed(f"The twin's UEFI variables could not be read: {error}.") from error

    def _close(self, store: edk2.Edk2VarStore, variables: efivar.EfiVarList) -> None:
        try:
            store.write_varstore(str(self.file), variables)
        except (OSError, SystemExit, ValueError) as error:
            raise TwinFailed(f"The twin's UEFI variables could not be written: {error}.") from error
