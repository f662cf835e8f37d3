"""The least time that a cleanup takes under its limits, before it has begun."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sdrs_async.accounts.account import Account
from sdrs_async.cleanup.spool import Spool
from sdrs_async.formats.wording import duration
from sdrs_async.limits import Learned
from sdrs_async.pace.floor import Floor, Scopes

__all__ = ["LATENCY", "Floors", "floor_json", "floor_words", "work_of"]

LATENCY = 0.02
"""Seconds that an answer is assumed to take while none has come."""

_WORTH_A_WORD = 1.0


class Floors:
    """The floor of what a spool holds, in all and for each account. `concurrency`: over all of them.

    `learned`: limits that hold beside the configured ones, later only those that are news; `listing`: each project is
    listed in that time too. `work`: the targets of each project, by account.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        concurrency: int | None,
        spooled: Spool,
        learned: Collection[Learned] = (),
        *,
        listing: bool = False,
    ) -> None:
        self.scopes = Scopes(
            {account.name: account.limits for account in accounts},
            {account.name: account.endpoint for account in accounts},
            concurrency,
        )
        self.work = work_of(spooled, accounts)
        self.learned = self.scopes.news(learned)
        self._listing = listing

    def in_all(self) -> Floor:
        """Of everything; without a bottleneck when there is nothing."""
        return self._floor(self.work)

    def of(self, account: Account) -> Floor:
        """Of one account's own targets, were it alone."""
        return self._floor({account.name: self.work.get(account.name, {})})

    def _floor(self, work: Mapping[str, Mapping[str, int]]) -> Floor:
        loads = {name: [count + self._listing for count in projects.values()] for name, projects in work.items()}
        return self.scopes.floor(loads, LATENCY, self.learned)


def work_of(spooled: Spool, accounts: Sequence[Account]) -> dict[str, dict[str, int]]:
    """How many targets each project has, by the names of those of these accounts that have any."""
    work = {
        account.name: {one.project_id: one.groups + one.project_level for one in spooled.extents(account.name)}
        for account in accounts
    }
    return {name: projects for name, projects in work.items() if projects}


def floor_words(floor: Floor) -> str:
    """`at least 3 min 20 s at these limits (user rate)`; empty when it is not worth a word: below a second."""
    if floor.bottleneck is None or floor.seconds < _WORTH_A_WORD:
        return ""
    return f"at least {duration(floor.seconds)} at these limits ({floor.bottleneck})"


def floor_json(floor: Floor) -> dict[str, Any]:
    """As a plan has it; null where there is nothing to do."""
    if floor.bottleneck is None:
        return {"floor_s": None, "bottleneck": None}
    return {"floor_s": round(floor.seconds, 6), "bottleneck": floor.bottleneck}
