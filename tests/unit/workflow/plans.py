"""Plans of roots that can be opened one by one: what tests of btrfs and of partitions ask alike."""

from __future__ import annotations

import pytest

from appliance.boot.shapes import BootState, Entry, LoaderView
from appliance.errors import Refused
from appliance.host.run import Command, Output
from appliance.model.lineage import Lineage
from appliance.model.machine import Machine
from appliance.model.plan import Plan, Request, Verb
from appliance.workflow import rehearse


class Silent:
    """A store asks nothing before it is asked."""

    def run(self, command: Command) -> Output:
        raise AssertionError(str(command))


def planned(found: Machine) -> Plan:
    return rehearse.build_plan(found, Request(verb=Verb.REHEARSE, emulate=True), Lineage())


def refused(found: Machine) -> Refused:
    with pytest.raises(Refused) as said:
        planned(found)
    return said.value


def decided(state: BootState, old_root: str, new_root: str) -> LoaderView:
    """What the loader says of tb1, whose root is `new_root`."""
    old = Entry(id="previous", title="old", kernel="k", root=old_root)
    new = Entry(id="trial", title="new", kernel="k", root=new_root)
    following = new if state in (BootState.ARMED, BootState.KEPT) else old
    own = new if state is BootState.KEPT else old
    return LoaderView(state=state, run="tb1", own=own, next_boot=following, fallback=old, runs=("tb1",))
