"""Studies watched from the ledger, whoever runs them."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from study.api.commands import measure_study

if TYPE_CHECKING:
    from rich.console import Console

    from study.ledger.ledger import Ledger
    from study.ledger.records import TrialRecord
    from study.live.ledger_feed import LedgerFeed
    from study.live.study_state import Phase, StudyState
    from study.plan import Plan

POLL_S = 1.0
"""Seconds between two looks at the ledger, where reading it is fast."""


def open_feed(
    plans: "Sequence[Plan]",
    ledger: "Ledger",
    records: "Mapping[str, TrialRecord]",
    next_steps: "Mapping[Phase, str] | None" = None,
) -> "LedgerFeed":
    """Return the source of the states of studies.

    Args:
        records: the ledger's trials, of which the plans were made.
        next_steps: what a user may do next in each phase.
    """
    from study.live.ledger_feed import LedgerFeed

    return LedgerFeed(
        plans, records, ledger, measure=partial(measure_study, ledger=ledger), next_steps=next_steps or {}
    )


def current_state(feed: "LedgerFeed") -> "StudyState":
    """Return the state as it is now. On a server, it takes some seconds to see that a launch lives."""
    feed.confirm()
    return feed.state()


def watch(feed: "LedgerFeed", ledger: "Ledger", console: "Console") -> "StudyState":
    """Show the state of studies until no launch trains them, and return it. It changes nothing.

    In a terminal it is one live view; elsewhere a line for each trial that ends, and one a minute.
    """
    from study.live.screen import Screen, pause_after
    from study.live.study_state import Phase

    with Screen(console, feed.state, feed.totals) as screen:
        while feed.totals().phase == Phase.RUNNING:
            screen.refresh()
            began_s = time.monotonic()
            for line in ledger.retry(feed.refresh, log=screen.print):
                if not screen.is_live:
                    screen.print(line)
            time.sleep(max(POLL_S, pause_after(time.monotonic() - began_s)))
    return feed.state()
