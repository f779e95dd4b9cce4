"""What opens encrypted devices, while the engine lives: in its memory alone, in nothing that it says."""

from __future__ import annotations


class Passphrases:
    """By the UUID of the encrypted device. Neither printed nor compared nor written out by anything."""

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return f"Passphrases({len(self._known)} hidden)"

    def __reduce__(self) -> str:
        raise TypeError("passphrases are not written out")

    def keep(self, uuid: str, passphrase: bytes) -> None:
        self._known[uuid] = passphrase

    def of(self, uuid: str) -> bytes | None:
        """None where nobody has said it yet."""
        return self._known.get(uuid)

    def forget(self, uuid: str) -> None:
        self._known.pop(uuid, None)
