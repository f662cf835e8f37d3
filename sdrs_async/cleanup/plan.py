"""What a cleanup would do: the targets that were found or given, kept on disk, and the least time that they take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sdrs_async.accounts.account import Account
from sdrs_async.cleanup.spool import BATCH, Extent, Owned, Spool
from sdrs_async.cloud.calls import PAGE
from sdrs_async.cloud.listing import Project
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Learned, Limits
from sdrs_async.models import ProjectLevel
from sdrs_async.pace.floor import Floor, Scopes
from sdrs_async.report import Ledger
from sdrs_async.report.learned import learned_list
from sdrs_async.run import Finding

SCHEMA = "sdrs-async/plan/1"
LATENCY = 0.02
"""Seconds that an answer is assumed to take while none has come."""


class Plan:
    """The targets of a cleanup that has not begun, kept on disk, and what deleting them takes.

    `accounts`: those whose targets they are; `finding`: the search, unless none was needed; `report`: that of the
    search, with what could not be listed as `report.discovery.failed`, and whether it was interrupted; `scopes`: the
    limits that bound its time; `names`: of projects, by account and id, where they are known.
    Comes from `Session.plan()`, and is good until the block of that is left.
    """

    def __init__(
        self, accounts: Sequence[Account], spool: Spool, concurrency: int | None = None, finding: Finding | None = None
    ) -> None:
        self.accounts = tuple(accounts)
        self.finding = finding
        self.report = Ledger() if finding is None else finding.report
        self.scopes = Scopes(
            {account.name: account.limits for account in accounts},
            {account.name: account.endpoint for account in accounts},
            concurrency,
        )
        self._spool = spool
        self.names = {} if finding is None else names_of(finding.projects)

    def __repr__(self) -> str:
        floor = self.floor()
        takes = "" if floor.bottleneck is None else f", at least {floor.seconds:.2f} s ({floor.bottleneck})"
        counts = f"groups={self.groups}, levels={self.levels}, projects={self.projects}"
        return f"<Plan of {', '.join(one.name or 'the account' for one in self.accounts)}: {counts}{takes}>"

    # ---- how much

    @property
    def groups(self) -> int:
        """How many protection groups, each counted once."""
        return self._spool.groups

    @property
    def levels(self) -> int:
        """Of how many projects the failed tasks of their own level are targets too."""
        return self._spool.levels

    @property
    def projects(self) -> int:
        """How many projects have any of these; a project of two accounts at two endpoints is two."""
        return self._spool.projects

    @property
    def duplicates(self) -> int:
        """How many targets were given, or found, more than once, as far apart as the memory of a run does not reach."""
        return self._spool.duplicates

    @property
    def listed(self) -> bool:
        """Whether the targets were looked for, not given."""
        return self.finding is not None and bool(self.finding.projects)

    def by_project(self, account: str | None = None) -> Iterator[Extent]:
        """How much each project has, in order of accounts and ids; of one account where its name is given."""
        return self._spool.extents(account)

    def left_out(self, account: str) -> Counter[str]:
        """How many projects of an account, by its name, were not looked into, by the reason."""
        return Counter() if self.finding is None else self.finding.left_out.get(account, Counter())

    def targets(self, account: str) -> Mapping[str, Iterator[str | ProjectLevel]]:
        """For each project of an account, by its name: its own level if that is a target, and the ids of its groups.

        Read lazily. Raises `ConfigError` when the plan is not good any more.
        """
        if self._spool.closed:
            raise ConfigError("the targets of this plan are kept no longer: use it inside its block")
        return self._spool.per_project(account)

    # ---- how long

    @property
    def learned(self) -> tuple[Learned, ...]:
        """The limits that the server showed in the search, and that are not configured as they are."""
        return self.scopes.news(self.report.learned)

    def floor(self, account: str | None = None, *, lists: bool = False) -> Floor:
        """The least time of the deletion and what bounds it; `None` bounds it where nothing is to be done.

        `account`: were it alone, by its name; `lists`: with the requests that list its projects' groups.
        """
        names = [one.name for one in self.accounts] if account is None else [account]
        loads = {name: list(self._requests(name, lists).values()) for name in names}
        return self.scopes.floor(loads, LATENCY, self.learned)

    def work(self, *, lists: bool = False) -> dict[str, dict[str, int]]:
        """How many requests each project takes at least, with `lists` those that list its groups; by account."""
        work = {one.name: self._requests(one.name, lists) for one in self.accounts}
        return {name: projects for name, projects in work.items() if projects}

    def _requests(self, account: str, lists: bool) -> dict[str, int]:
        """A list takes a request for each full page, and one that shows that it has ended."""
        return {
            one.project_id: one.groups + one.project_level + lists * (1 + -(-one.groups // PAGE))
            for one in self._spool.extents(account)
        }

    # ---- as JSON

    def to_dict(self, credentials: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The plan as JSON, schema `SCHEMA`. `credentials`: the kind of each account's, in words, by its name.

        The time has the lists in it where the targets were looked for: whoever cleans without a plan reads them too.
        """
        report = self.report.to_dict()
        return {
            "schema": SCHEMA,
            "interrupted": self.report.interrupted,
            "floor": _floor_dict(self.floor(lists=self.listed)) | {"latency_s": LATENCY, "latency": "assumed"},
            "limits": {"learned": learned_list(self.learned)},
            "accounts": [self._account_dict(one, (credentials or {}).get(one.name)) for one in self.accounts],
            "accounts_failed": report["accounts"]["failed"],
            "discovery": report["discovery"],
            "targets": {"groups": self.groups, "project_level": self.levels, "duplicates": self.duplicates},
            "projects": [
                one._asdict() | {"name": self.names.get((one.account, one.project_id)) or None}
                for one in self.by_project()
            ],
        }

    def _account_dict(self, account: Account, credential: str | None) -> dict[str, Any]:
        return {
            "name": account.name,
            "credential": credential,
            "endpoint": account.endpoint,
            "iam_endpoint": account.iam_endpoint,
            "region": account.region,
            "limits": _limits_dict(account.limits, self.scopes.concurrency),
            "floor": _floor_dict(self.floor(account.name, lists=self.listed)),
            "left_out": dict(sorted(self.left_out(account.name).items())),
        }


async def keep(finding: Finding, spool: Spool, accounts: Sequence[Account]) -> None:
    """Store all that is found. Raises what stops the search, and `ConfigError` when the disk is full."""
    batch: list[Owned] = []
    async for target in finding:
        batch.append((finding.account, target))
        if len(batch) >= BATCH:
            spool.add(batch)
            batch = []
    spool.add(batch)
    spool.seal()
    spool.unite({account.name: account.endpoint for account in accounts})


def names_of(found: Mapping[str, Sequence[Project]]) -> dict[tuple[str, str], str]:
    """The names of projects, where they are known, by account and id: two clouds may call one id differently."""
    return {(account, project.id): project.name for account, projects in found.items() for project in projects}


def _floor_dict(floor: Floor) -> dict[str, Any]:
    if floor.bottleneck is None:
        return {"floor_s": None, "bottleneck": None}
    return {"floor_s": round(floor.seconds, 6), "bottleneck": floor.bottleneck}


def _limits_dict(limits: Limits, concurrency: int | None) -> dict[str, str | int | None]:
    rates = {name: getattr(limits, name) for name in ("project_rate", "user_rate", "endpoint_rate")}
    shown: dict[str, str | int | None] = {name: None if rate is None else str(rate) for name, rate in rates.items()}
    return {**shown, "project_concurrency": limits.project_concurrency, "concurrency": concurrency}
