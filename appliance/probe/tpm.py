"""How a device's key is bound to the TPM: the tokens in its LUKS 2 header.

Those of systemd-cryptenroll(1) say it in the clear, those of clevis-luks-bind(1) in the head of a JWE (RFC
7516). Only read: no TPM is asked.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from appliance.errors import CommandFailed, DamagedData
from appliance.host.run import Command, Host, read
from appliance.model.machine import Tpm
from appliance.probe.luks import TOKENS

SYSTEMD, CLEVIS = "systemd-tpm2", "clevis"


def metadata_dump(device: str) -> Command:
    return read("cryptsetup", "luksDump", device, "--dump-json-metadata", timeout=60)


def tpm_of(host: Host, device: str) -> Tpm | None:
    """What of the TPM opens `device`. None where something else does beside it, or it does not read."""
    try:
        return parse_tokens(host.run(metadata_dump(device)).stdout)
    except (CommandFailed, DamagedData):
        return None


def parse_tokens(text: str) -> Tpm | None:
    """Of a header's JSON text; None where anything else opens the device by itself. Raises DamagedData."""
    try:
        tokens = json.loads(text)["tokens"].values()
        bound = tuple(_bound(token) for token in tokens if token["type"] in TOKENS)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise DamagedData("A token in the LUKS header does not read.") from None
    found = tuple(one for one in bound if one is not None)
    if not found or len(found) != len(bound):
        return None
    return Tpm(
        pcrs=tuple(sorted({pcr for one in found for pcr in one.pcrs})),
        signed=tuple(sorted({pcr for one in found for pcr in one.signed})),
    )


def _bound(token: dict[str, Any]) -> Tpm | None:
    if token["type"] == SYSTEMD:
        return Tpm(pcrs=_numbers(token["tpm2-pcrs"]), signed=_numbers(token.get("tpm2_pubkey_pcrs", [])))
    if token["type"] != CLEVIS:
        return None
    head = token["jwe"]["protected"]
    pin = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["clevis"]
    if pin["pin"] != "tpm2":
        return None
    return Tpm(pcrs=_numbers(str(pin["tpm2"].get("pcr_ids", "")).replace(",", " ").split()))


def _numbers(words: list[Any]) -> tuple[int, ...]:
    return tuple(int(word) for word in words)
