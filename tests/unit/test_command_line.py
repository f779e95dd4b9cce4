"""The equivalent command: what the command line makes of it is the request again."""

from __future__ import annotations

import shlex

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.cli import parser, request
from appliance.model.command_line import command_line
from appliance.model.plan import PatchKind, PatchRequest, RepairKind, Request, Verb

WORDS = st.from_regex(r"[A-Za-z0-9_/.=:~+$'\" ][A-Za-z0-9_/.=:~+$'\" -]{0,12}", fullmatch=True)
LISTS = st.lists(WORDS, min_size=1, max_size=3).map(tuple)


def patches() -> st.SearchStrategy[PatchRequest]:
    common = {"bundle": st.just("") | WORDS, "allow_unsigned": st.booleans()}
    plain = [k for k in PatchKind if k not in (PatchKind.PACKAGES, PatchKind.SCRIPT)]
    return st.one_of(
        st.builds(PatchRequest, kind=st.sampled_from(plain), **common),
        st.builds(PatchRequest, kind=st.just(PatchKind.PACKAGES), packages=LISTS, **common),
        st.builds(PatchRequest, kind=st.just(PatchKind.SCRIPT), script=WORDS, **common),
    )


REHEARSALS = st.builds(
    Request,
    verb=st.just(Verb.REHEARSE),
    system=st.just("") | WORDS,
    patch=patches(),
    skip_checks=st.just(()) | LISTS,
    emulate=st.booleans(),
    memory=st.integers(0, 65536),
    rehearse_only=st.booleans(),
    store=st.just("") | WORDS,
    added=st.just(()) | LISTS,
)
REPAIRS = st.builds(
    Request,
    verb=st.just(Verb.REPAIR),
    system=st.just("") | WORDS,
    repair=st.sampled_from(RepairKind),
    watch=st.booleans(),
    emulate=st.booleans(),
    memory=st.integers(0, 65536),
)
RUNS = st.integers(1, 99).map(lambda n: f"tb{n}")
ACTS = st.one_of(
    st.builds(Request, verb=st.just(Verb.PROMOTE), run=RUNS, force_bad=st.booleans()),
    st.builds(Request, verb=st.just(Verb.KEEP), run=RUNS, retire_on=st.sampled_from(["", "2027-01-31"])),
    st.builds(Request, verb=st.just(Verb.UNDO)),
    st.builds(Request, verb=st.just(Verb.ROLLBACK), run=RUNS, with_data=st.booleans()),
    st.builds(Request, verb=st.just(Verb.RETIRE), run=RUNS),
)


@settings(deadline=None)  # two cores may be busy with machines
@given(REHEARSALS | REPAIRS | ACTS)
def test_a_shell_and_our_own_parser_read_back_what_was_asked(wanted: Request) -> None:
    words = shlex.split(command_line(wanted))
    assert words[0] == "twinboot"
    assert request(parser().parse_args(words[1:])) == wanted


def test_as_a_person_reads_it() -> None:
    patch = PatchRequest(kind=PatchKind.PACKAGES, packages=("nginx", "ledger=1.2"), bundle="june 26")
    asked = Request(verb=Verb.REHEARSE, patch=patch, system="vg0/root")
    assert command_line(asked) == (
        "twinboot rehearse --packages nginx ledger=1.2 --bundle 'june 26' --system vg0/root"
    )
