"""The boot loader's own variables in a twin's store: what leads its systemd-boot, while it is off."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from virt.firmware.efi import efivar, guids, ucs16
from virt.firmware.varstore import edk2

from appliance.errors import TwinFailed
from appliance.probe.efi import LOADER_ATTRIBUTES, LOADER_GUID, loader_data, loader_text


@dataclass(frozen=True, slots=True)
class TwinVariables:
    """Read and written as boot.place.Variables wants it, in the twin's store at `file`. Raises TwinFailed."""

    file: Path

    def why_not(self) -> tuple[str, ...]:
        return () if self.file.is_file() else ("This twin has no UEFI variables.",)

    def read(self, name: str) -> str | None:
        if not self.file.is_file():
            return None
        _, variables = self._open()
        found = variables.get(name)
        return None if found is None else loader_text(bytes(found.data))

    def write(self, name: str, value: str) -> None:
        store, variables = self._open()
        variable = efivar.EfiVar(
            ucs16.from_string(name), guid=guids.parse_str(LOADER_GUID), attr=LOADER_ATTRIBUTES
        )
        variable.data = loader_data(value)
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
