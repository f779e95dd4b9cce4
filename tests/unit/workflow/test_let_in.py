"""What is said before a start of an encrypted machine: that somebody types, or what the TPM will do."""

from __future__ import annotations

import pytest

from appliance.model.machine import Layer, LayerKind, Tpm
from appliance.model.plan import Verb
from appliance.workflow.let_in import TRIED, WAITS, let_in


def layer(tpm: Tpm | None = None) -> Layer:
    return Layer(
        kind=LayerKind.LUKS, path="/dev/mapper/x", uuid="1", name="/dev/vda4", below=("/dev/vda4",),
        offset=0, size=1, tpm=tpm,
    )  # fmt: skip


@pytest.mark.parametrize("verb", list(Verb))
def test_of_a_machine_that_is_not_encrypted_nothing_is_said(verb: Verb) -> None:
    assert let_in(verb, ()) == ()


def test_somebody_types() -> None:
    assert let_in(Verb.PROMOTE, (layer(),)) == (WAITS[Verb.PROMOTE], TRIED)
    assert let_in(Verb.ROLLBACK, (layer(),)) == (WAITS[Verb.ROLLBACK],)
    assert let_in(Verb.RETIRE, (layer(),)) == ()


@pytest.mark.parametrize(
    ("tpm", "by"),
    [(Tpm(pcrs=(7,)), "PCR 7"), (Tpm(pcrs=(0, 2, 7, 14)), "PCR 0, 2, 7 and 14"), (Tpm(), "no PCR")],
)
def test_what_a_promotion_does_not_change_lets_in_as_before(tpm: Tpm, by: str) -> None:
    said, tried = let_in(Verb.PROMOTE, (layer(tpm),))
    assert f"bound to {by}: that stays as it is" in said and tried == TRIED
    assert let_in(Verb.ROLLBACK, (layer(tpm),)) == (said,)


def test_what_it_changes_waits_for_somebody() -> None:
    said, _ = let_in(Verb.PROMOTE, (layer(Tpm(pcrs=(4, 7, 9), signed=(11,))),))
    assert "bound to PCR 4, 7, 9 and 11. PCR 4, 9 and 11 may differ then (the kernel" in said
    assert "waits until somebody types the passphrase" in said


def test_of_two_devices_both_are_told() -> None:
    waits, tpm, tried = let_in(Verb.PROMOTE, (layer(Tpm(pcrs=(7,))), layer()))
    assert waits == WAITS[Verb.PROMOTE] and "PCR 7" in tpm and tried == TRIED
