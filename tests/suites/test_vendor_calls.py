"""Every job while it talks to vendors: no transaction waits for one, and nothing leaves this machine."""

from __future__ import annotations

import pytest

from tests.suites.counts import Count
from tests.suites.lab import Lab
from tests.suites.vendors import NOWHERE
from tests.suites.wire import watching

SESSION_OPEN = "while a session is open"


@pytest.mark.parametrize("reach", ["answer", "are away"])
def test_no_session_is_open_during_a_vendor_call(lab: Lab, count: Count, reach: str) -> None:
    with lab.case(f"vendors {reach}"):
        if reach == "are away":
            vendors = [name for name in lab.bench.settings if name.endswith("_BASE_URL")]
            lab.bench.settings.update(dict.fromkeys(vendors, NOWHERE))
        with watching(lab.bench) as watch:
            lab.send()
            lab.end()
        assert watch.in_session == [], f"a transaction was open while {watch.in_session} were called"
        assert watch.outside == [], f"the job called {watch.outside}; its vendor needs a <VENDOR>_BASE_URL"
        refused = [str(item.error) for item in lab.delivered if SESSION_OPEN in str(item.error)]
        assert refused == [], refused
        count("vendor calls watched", lab.bench.faults.reached.count("before-call"))
    lab.verdict()
