"""Which object does each step of a rehearsal."""

from __future__ import annotations

from collections.abc import Callable

from appliance.model.plan import PlannedStep
from appliance.workflow.runner import Step
from appliance.workflow.steps.boots import BuildTwin, Compare, ControlBoot, PatchedBoot
from appliance.workflow.steps.by_hand import ByHand, OpenHands
from appliance.workflow.steps.data import RememberData
from appliance.workflow.steps.elsewhere import MakeRoom, ThrowAway
from appliance.workflow.steps.ground import Ground
from appliance.workflow.steps.patch import Patch
from appliance.workflow.steps.proof import ProofBoot
from appliance.workflow.steps.seal import MakeTrial, Seal, StopTwin
from appliance.workflow.steps.snapshot import CheckSpace, ProveUnchanged, TakeEvidence, TakeSnapshots
from appliance.workflow.steps.verdict import ReachVerdict, Tidy

STEPS: dict[str, Callable[[PlannedStep, Ground], Step]] = {
    "space": CheckSpace,
    "evidence": TakeEvidence,
    "snapshot": TakeSnapshots,
    "twin": BuildTwin,
    "control": ControlBoot,
    "data": RememberData,
    "hands": OpenHands,
    "by-hand": ByHand,
    "patch": Patch,
    "patched": PatchedBoot,
    "checks": Compare,
    "seal": Seal,
    "stop": StopTwin,
    "trial": MakeTrial,
    "proof": ProofBoot,
    "verdict": ReachVerdict,
    "tidy": Tidy,
    "unchanged": ProveUnchanged,
    "make-room": MakeRoom,
    "throw-away": ThrowAway,
}
