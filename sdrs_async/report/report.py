"""What came of a run: the report's numbers, its JSON, its exit code, and merging."""

from __future__ import annotations

import copy
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Self

from sdrs_async.errors import ConfigError, check
from sdrs_async.limits import Learned, Limits
from sdrs_async.models import Verdict
from sdrs_async.pace.floor import Floor, Scopes
from sdrs_async.report.discovery import Discovery
from sdrs_async.report.failures import Failure
from sdrs_async.report.fields import Fields
from sdrs_async.report.learned import learned_list, proven, read_learned, union
from sdrs_async.report.projects import add_counts, targets_dict
from sdrs_async.report.sections import OTHER_REQUESTS, Access, Ending, Span, Stopwatch, Totals, read_other_requests
from sdrs_async.report.tally import Tally

SCHEMA = "sdrs-async/report/1"
_SIGINT = 2
_UNLIMITED = Scopes.of_one(
    Limits(project_rate=None, project_concurrency=None, user_rate=None, endpoint_rate=None, concurrency=None)
)


class Report:
    """The report of one run, live from its creation, or of several merged.

    `planned = done + gone + failed + skipped + unsettled` holds at any time, in the whole and per project.
    `limits`: what bounds its time, or those of its only account; `None`: it had none. `clock`: seconds that only go
    forward, the same that outcomes are timed by. `max_failures`: how many failures to hold in memory, the first in
    their order; `None` holds all. `runs`: the ids of the runs that it is of; `learned`: the limits that the server
    showed; `discovery`: what was found by listing, and what could not be listed.
    """

    def __init__(
        self,
        limits: Limits | Scopes | None = None,
        *,
        run_id: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        max_failures: int | None = 1000,
    ) -> None:
        check(limits is None or isinstance(limits, Limits | Scopes), "limits", "a Limits, a Scopes or None", limits)
        self.runs: tuple[str, ...] = (run_id or uuid.uuid4().hex,)
        self.learned: tuple[Learned, ...] = ()
        self.discovery = Discovery()
        self._listed_before = 0
        self._access = Access()
        self._others = dict.fromkeys(OTHER_REQUESTS, 0)
        self._ending = Ending()
        self._watch = Stopwatch(clock)
        self._scopes = Scopes.of_one(limits) if isinstance(limits, Limits) else limits or _UNLIMITED
        self._floor: Floor | None = None
        self._tally = Tally(max_failures, self._scopes.endpoints)

    def __repr__(self) -> str:
        groups = ", ".join(f"{group}={count}" for group, count in self.targets.items())
        return f"<Report {self.run_id}: {groups}, exit_code={self.exit_code}>"

    # ---- what became of the targets

    @property
    def run_id(self) -> str:
        """The run's id; for several runs a new one that follows from theirs."""
        return _merged_id(self.runs)

    @property
    def totals(self) -> Totals:
        """How many targets there are by what became of them; live, and cheap enough for every redraw of a display."""
        return Totals(**self.targets)

    @property
    def targets(self) -> dict[str, int]:
        """`totals` as a dict."""
        return targets_dict(self._tally.targets()) | {"duplicates": self._tally.duplicates}

    @property
    def failures(self) -> list[Failure]:
        """The failed targets held in memory, in their order: as many as `max_failures` allows."""
        return list(self._tally.failures.ordered())

    @property
    def median_latency(self) -> float | None:
        """Seconds within which half of the answers came; `None` before the first. Cheap, as `totals`."""
        return self._tally.latency.quantile(0.5)

    # ---- what else is known of the run

    @property
    def signed_in(self) -> bool:
        """Whether an account was let in."""
        return self._access.signed_in

    @property
    def refused(self) -> bool:
        """Whether an account was refused."""
        return self._access.refused

    @property
    def refused_accounts(self) -> Mapping[str, str]:
        """Why accounts were refused, by their names."""
        return self._access.failed

    @property
    def reads(self) -> int:
        """How many requests only read; they are not among those of the targets."""
        return self._others["reads"]

    @property
    def error(self) -> str | None:
        """What stopped the run, beside signals and refused accounts; a defect begins with `defect: `."""
        return self._ending.error

    @property
    def interrupted(self) -> bool:
        """Whether the run was stopped before its end."""
        return self._ending.interrupted

    @property
    def signal(self) -> int | None:
        """The number of the signal that interrupted the run."""
        return self._ending.signal

    @property
    def started_at(self) -> datetime:
        """When the run began, in UTC."""
        return self._watch.started_at

    @property
    def finished_at(self) -> datetime:
        """When the run ended by its own clock, which no correction of the machine's time moves; until then: now."""
        return self._watch.span.finished_at

    @property
    def exit_code(self) -> int:
        """0 where every target is clean, 1 where not, 5 where all that failed may succeed later; 3: no account could
        sign in, 2: an error stopped it, 128 and the signal's number: interrupted. Of several: signal, 3, 2, 1, 5.

        A skipped target alone is a 1: it is not known to be clean, and what stopped it needs somebody. An unsettled one
        without an interruption is a 1 too, and so is a project that was not listed, one account of several refused, or
        one that got nothing but 404s without an error code: any wrong host answers so.
        """
        ending, access, targets = self._ending, self._access, self._tally.targets()
        if ending.signal is not None or (ending.interrupted and ending.error is None):
            return 128 + (ending.signal or _SIGINT)
        if (access.refused or access.failed) and not access.signed_in:
            return 3
        if ending.error is not None:
            return 1 if ending.error.startswith("defect: ") else 2
        if targets["unsettled"] or access.failed or self.discovery.failed or self._tally.answers.suspects():
            return 1
        if not (targets["failed"] or targets["skipped"]):
            return 0
        return 5 if self._tally.only_worth_retrying() else 1

    @property
    def floor(self) -> Floor:
        """The shortest time its limits permit for what was done; for merged reports the longest of theirs."""
        if self._floor is not None:
            return self._floor
        if not any(project.answered for project in self._tally.projects()):
            return Floor()
        accounts = self._tally.accounts.items()
        sent = {account: [one.let_in for one in projects.values() if one.let_in] for account, projects in accounts}
        # Where projects were found in that time, each took the request of a list at least, under the same limits.
        listed = self.discovery.projects - self._listed_before >= sum(map(len, sent.values()))
        loads = self._scopes.loads({account: [count + listed for count in counts] for account, counts in sent.items()})
        latency = self.median_latency or 0.0
        bound = self._scopes.floor(loads, latency)
        if self.learned:
            within = self._scopes.floor(loads, latency, proven(self.learned))
            # One that a faster run contradicts was not in force all the time.
            bound |= Floor(min(within.seconds, self._watch.span.seconds), within.bottleneck)
        return Floor(round(bound.seconds, 6), bound.bottleneck)

    # ---- copies, JSON, and several together

    def __copy__(self) -> Self:
        return copy.deepcopy(self)  # a shallow one would go on counting with this one

    def __getstate__(self) -> dict[str, Any]:
        """For a copy in another process, which has another clock: what was counted by now."""
        return {**self.__dict__, "_watch": Stopwatch.stopped(self._watch.span), "_floor": self.floor}

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON, schema `SCHEMA`, with what merging needs; all of it JSON-serialisable."""
        span, counts = self._watch.span, self._tally.to_dict()
        counts["requests"] |= self._others
        return {
            "schema": SCHEMA,
            "run_id": self.run_id,
            "runs": list(self.runs),
            **span.to_dict(),
            **self._ending.to_dict(),
            "accounts": self._access.to_dict(),
            "discovery": self.discovery.to_dict(),
            **counts,
            "limits": {"learned": learned_list(self.learned)},
            "speed": self.floor.to_dict(span.seconds if len(self.runs) == 1 else None),
            "latency_ms": self._tally.latency.to_dict(),
            "latency_buckets": self._tally.latency.buckets(),
        }

    def merge(self, other: Report) -> Report:
        """A new report of both: associative and commutative. `ConfigError` if a run is in both: it would count twice.

        Counts add up. It lasts from the earliest start to the latest finish, while the time of a project is that of all
        runs together. Of two signals the higher number stays, of two errors, or reasons for the same gap, the first in
        order; an account that signed in anywhere has signed in. Of two bounds on the failures in memory the smaller one
        stays.
        """
        check(isinstance(other, Report), "what is merged", "a Report, as Report.from_dict(...)", other)
        if shared := sorted(set(self.runs) & set(other.runs)):
            raise ConfigError(f"run {shared[0]} is in both reports: merging would count it twice")
        bounds = [one._tally.failures.limit for one in (self, other)]
        merged = Report(max_failures=min((bound for bound in bounds if bound is not None), default=None))
        for one in (self, other):
            merged._tally.absorb(one._tally)
            merged.discovery.absorb(one.discovery)
            add_counts(merged._others, one._others)
        merged.runs = tuple(sorted(self.runs + other.runs))
        merged.learned = union(self.learned, other.learned)
        merged._access = self._access | other._access
        merged._ending = self._ending | other._ending
        merged._watch = Stopwatch.stopped(self._watch.span | other._watch.span)
        merged._floor = self.floor | other.floor
        return merged

    @classmethod
    def from_dict(cls, data: object) -> Report:
        """The report of which `data` is the JSON, with all failures in it; keys it does not know are left alone.

        Keys that reports of older versions have not may be missing. `ConfigError` names the key that is missing, of
        another type, or at odds with the others.
        """
        fields = Fields(data, "report")
        if (schema := fields.text("schema")) != SCHEMA:
            raise fields.wrong("schema", f"is {schema[:60]!r}, and only {SCHEMA!r} can be read")
        report = Report(max_failures=None)
        report.runs = _read_runs(fields)
        report._watch, report._ending = Stopwatch.stopped(Span.from_fields(fields)), Ending.from_fields(fields)
        speed = fields.fields("speed")
        report._floor = Floor(speed.optional(speed.number, "floor_s") or 0.0, speed.optional(speed.text, "bottleneck"))
        report._tally = Tally.from_fields(fields)
        report._access = _read_access(fields, report._tally)
        report._others = read_other_requests(fields.fields("requests"))
        if "discovery" in fields:
            report.discovery = Discovery.from_fields(fields.fields("discovery"))
        if "limits" in fields:
            report.learned = read_learned(fields.fields("limits"))
        return report


def _merged_id(runs: tuple[str, ...]) -> str:
    return runs[0] if len(runs) == 1 else f"merged-{hashlib.sha256(json.dumps(runs).encode()).hexdigest()[:32]}"


def _read_runs(fields: Fields) -> tuple[str, ...]:
    runs = tuple(fields.texts("runs")) if "runs" in fields else (fields.text("run_id"),)
    if not runs or sorted(set(runs)) != list(runs) or fields.text("run_id") != _merged_id(runs):
        raise fields.wrong("runs", "must be the sorted ids of the runs, and run_id what follows from them")
    return runs


def _read_access(fields: Fields, tally: Tally) -> Access:
    if "accounts" not in fields:
        # An answer other than that the credential is refused shows that it was let in.
        unauthorized = tally.verdicts.get(Verdict.UNAUTHORIZED, 0)
        return Access(sum(project.answered for project in tally.projects()) > unauthorized, unauthorized > 0)
    accounts, groups = fields.fields("accounts"), tally.targets()
    access = Access.from_fields(accounts)
    if groups["done"] + groups["gone"] and not access.signed_in:
        raise accounts.wrong("signed_in", "must be true where targets are done or gone")
    return access
