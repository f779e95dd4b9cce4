"""What is said before a start of a machine whose disk is encrypted: who or what lets it in."""

from __future__ import annotations

from appliance.model.machine import Layer
from appliance.model.pcr import CHANGED, registers
from appliance.model.plan import Verb

WAITS = {
    Verb.PROMOTE: (
        "This machine's disk is encrypted: its next start waits until somebody types the passphrase, and so "
        "does every other, that of the old system too. Be there. The trial's time begins once it is typed."
    ),
    Verb.ROLLBACK: (
        "This machine's disk is encrypted: the next start waits until somebody types the passphrase."
    ),
}
TRIED = (
    "The twin's disk was encrypted in form only: that the new system decrypts this one is tried by the "
    "trial. If it can not, it restarts by itself, and the old system asks."
)
STAYS = (
    "This machine's disk is unlocked by its TPM, which is bound to {by}: that stays as it is, so the next "
    "start should be let in as the last was. Have the passphrase at hand all the same."
)
CHANGES = (
    "This machine's disk is unlocked by its TPM, which is bound to {by}. {changed} may differ then ({what}): "
    "the TPM refuses where they do, and the start waits until somebody types the passphrase. Be there. Once "
    "the system is to stay, bind the disk to the TPM anew (systemd-cryptenroll, clevis luks regen)."
)


def let_in(verb: Verb, encrypted: tuple[Layer, ...]) -> tuple[str, ...]:
    """What is to be known before `verb` of a machine that starts from within `encrypted`."""
    if verb not in WAITS or not encrypted:
        return ()
    typed = any(layer.tpm is None for layer in encrypted)
    by = tuple(_by_tpm(layer) for layer in encrypted)
    return tuple(
        dict.fromkeys(
            (
                *((WAITS[verb],) if typed else ()),
                *(sentence for sentence in by if sentence),
                *((TRIED,) if verb is Verb.PROMOTE else ()),
            )
        )
    )


def _by_tpm(layer: Layer) -> str:
    """A signature goes with what is measured only where the new kernel brings it along: not counted on."""
    if layer.tpm is None:
        return ""
    every = (*layer.tpm.pcrs, *layer.tpm.signed)
    differ = tuple(sorted(pcr for pcr in set(every) if pcr in CHANGED))
    if not differ:
        return STAYS.format(by=registers(every))
    what = "; ".join(CHANGED[pcr] for pcr in differ)
    return CHANGES.format(by=registers(every), changed=registers(differ), what=what)
