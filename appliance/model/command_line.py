"""What was chosen as a command: for the next time, for a script, and to say on the telephone."""

from __future__ import annotations

import shlex

from appliance.model.plan import PatchKind, Request, Verb


def command_line(request: Request) -> str:
    """The `twinboot` command that asks for the same, quoted for a POSIX shell."""
    words = ["twinboot", request.verb.value]
    match request.verb:
        case Verb.REHEARSE:
            words += [*_patch(request), *(w for c in request.skip_checks for w in ("--skip-check", c))]
            words += [w for place in request.added for w in ("--set", place)]
            words += ["--into", request.into] if request.into else []
            words += ["--rehearse-only"] if request.rehearse_only else []
            words += ["--store", request.store] if request.store else []
            words += _twin(request)
        case Verb.REPAIR:
            words += [f"--{request.repair.value}"] if request.repair else []
            words += [*([] if request.watch else ["--no-watch"]), *_twin(request)]
        case _:
            words += [request.run] if request.run else []
            words += ["--force-bad"] if request.force_bad else []
            words += ["--retire-on", request.retire_on] if request.retire_on else []
            words += ["--with-data"] if request.with_data else []
    return shlex.join(words)


def _patch(request: Request) -> list[str]:
    patch = request.patch
    words = [f"--{patch.kind.value}"]
    words += patch.packages if patch.kind is PatchKind.PACKAGES else []
    words += [patch.script] if patch.kind is PatchKind.SCRIPT else []
    words += ["--bundle", patch.bundle] if patch.bundle else []
    words += ["--allow-unsigned"] if patch.allow_unsigned else []
    return words


def _twin(request: Request) -> list[str]:
    words = ["--system", request.system] if request.system else []
    words += ["--emulate"] if request.emulate else []
    words += ["--memory", str(request.memory)] if request.memory else []
    return words
