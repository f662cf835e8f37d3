"""What came of a run, counted while it goes on: the report's numbers, its JSON, its exit code, and merging.

`planned = done + gone + failed + skipped + unsettled` holds at any time, in the whole and per project, since `planned`
is never counted by itself.
"""

from __future__ import annotations

import copy
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from sdrs_async.errors import ConfigError, check
from sdrs_async.limits import Learned, Limits
from sdrs_async.models import Outcome, Verdict
from sdrs_async.pace.floor import Floor, Scopes
from sdrs_async.report.discovery import Discovery, Unlisted
from sdrs_async.report.failures import failure_line
from sdrs_async.report.fields import Fields
from sdrs_async.report.learned import learned_list, proven, read_learned, union
from sdrs_async.report.projects import ProjectTally, targets_dict
from sdrs_async.report.tally import Tally, read_tally

__all__ = ["SCHEMA", "Report", "failure_line"]

SCHEMA = "sdrs-async/report/1"
_SIGINT = 2
_SIGN_INS = ("sign_ins", "sign_ins_throttled", "sign_ins_refused")
_UNLIMITED = Scopes.of_one(
    Limits(project_rate=None, project_concurrency=None, user_rate=None, endpoint_rate=None, concurrency=None)
)


class Report:
    """The report of one run, live from its creation, or of several merged.

    `limits`: what bounds its time, or those of its only account; `None`: it had none. `clock`: seconds that only go
    forward, the same that outcomes are timed by. `max_failures`: how many failures to hold in memory, the first in
    their order; `None` holds all. Set by the run: `signed_in` and `refused`: an account was let in, an account was
    refused; `refused_accounts`: by name, why each of them was; `reads`: requests that only read, which are not among
    those of the targets, and of these `reads_throttled`; `sign_ins` of all accounts, and of these those
    `sign_ins_throttled` and `sign_ins_refused`;
    `learned`: the limits that the server showed, before `finish`.
    `error`: what stopped it beside signals and refused accounts, set by who runs it, who then exits with 2, or with 1
    for a defect, which it begins with.
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
        self.signed_in = False
        self.refused = False
        self.refused_accounts: dict[str, str] = {}
        self.reads = self.reads_throttled = 0
        self.sign_ins = self.sign_ins_throttled = self.sign_ins_refused = 0
        self.learned: tuple[Learned, ...] = ()
        self.discovery = Discovery()
        self._listed_before = 0
        self.error: str | None = None
        self.interrupted = False
        self.signal: int | None = None
        self.started_at = datetime.now(UTC)
        self._finished_at: datetime | None = None
        self._clock = clock
        self._start = clock()
        self._scopes = Scopes.of_one(limits) if isinstance(limits, Limits) else limits or _UNLIMITED
        self._floor: Floor | None = None
        self._tally = Tally(max_failures, self._scopes.endpoints)

    # ---- counting

    def add(self, outcome: Outcome) -> None:
        """Count one settled target, at the moment it settles."""
        self._tally.add(outcome, self._clock())

    def add_unsettled(self, account: str, project_id: str, count: int, *, project_level: bool = False) -> None:
        """Count targets that were known, and not sent because the run was interrupted: groups, or `project_level`."""
        self._tally.add_unsettled(account, project_id, count, project_level)

    def add_duplicate(self, count: int = 1) -> None:
        """Count targets that were given more than once; they are not among the planned ones."""
        self._tally.duplicates += count

    def add_sign_ins(self, count: int, throttled: int = 0, refused: int = 0) -> None:
        """Count sign-ins, of whichever account; those that were throttled, or refused, are among them."""
        self.sign_ins += count
        self.sign_ins_throttled += throttled
        self.sign_ins_refused += refused

    def add_listed(self, groups: int, projects: int = 0) -> None:
        """Count groups, and projects, that were found by listing; whether they are planned is another matter."""
        self.discovery.groups += groups
        self.discovery.projects += projects

    def add_left_out(self, account: str, reasons: Mapping[str, int]) -> None:
        """Count projects of an account in which nothing was looked for, by the reason."""
        self.discovery.left_out.update({(account, reason): projects for reason, projects in reasons.items()})

    def add_unlisted(self, unlisted: Unlisted) -> None:
        """Note a project, or an account, that could not be listed, or not to the end."""
        self.discovery.add(unlisted)

    def restart(self) -> None:
        """The time of the run begins now, after a question that somebody had to answer; what was counted stays."""
        self.started_at, self._start = datetime.now(UTC), self._clock()
        self._listed_before = self.discovery.projects

    def finish(self, interrupted_by: int | None = None, stopped: bool = False) -> None:
        """The run has ended: by the signal `interrupted_by`, `stopped` without one, or by itself. Once is enough."""
        self._finished_at = self.finished_at
        self.learned = self._scopes.news(self.learned)
        self._floor = self.floor
        self.interrupted = self.interrupted or stopped or interrupted_by is not None
        self.signal = interrupted_by if self.signal is None else self.signal

    def __copy__(self) -> Self:
        return copy.deepcopy(self)  # a shallow one would go on counting with this one

    # ---- asking

    @property
    def run_id(self) -> str:
        """The run's id; for several runs a new one that follows from theirs."""
        return self.runs[0] if len(self.runs) == 1 else _merged_id(self.runs)

    @property
    def targets(self) -> dict[str, int]:
        """`planned`, the five groups it is the sum of, and `duplicates`; cheap, for a live display."""
        return targets_dict(self._tally.targets()) | {"duplicates": self._tally.duplicates}

    @property
    def median_latency(self) -> float | None:
        """Seconds within which half of the answers came; `None` before the first. Cheap, as `targets`."""
        return self._tally.latency.quantile(0.5)

    @property
    def finished_at(self) -> datetime:
        """When the run ended by its own clock, which no correction of the machine's time moves; until then: now."""
        return self._finished_at or self.started_at + timedelta(seconds=self._clock() - self._start)

    @property
    def exit_code(self) -> int:
        """0 where every target is clean, 1 where not, 5 where all that failed may succeed later; 3: no account could
        sign in, 2: an error stopped it, 128 and the signal's number: interrupted. Of several: signal, 3, 2, 1, 5.

        A skipped target alone is a 1: it is not known to be clean, and what stopped it needs somebody. An unsettled one
        without an interruption is a 1 too, and so is a project that was not listed, one account of several refused, or
        one that got nothing but 404s without an error code: any wrong host answers so.
        """
        if self.signal is not None or (self.interrupted and self.error is None):
            return 128 + (self.signal or _SIGINT)
        if (self.refused or self.refused_accounts) and not self.signed_in:
            return 3
        if self.error is not None:
            return 1 if self.error.startswith("defect: ") else 2
        targets = self._tally.targets()
        if targets["unsettled"] or self.refused_accounts or not self.discovery.is_complete or self._tally.is_suspect():
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
        sent = {account: list(_let_in(projects.values())) for account, projects in self._tally.accounts.items()}
        # Where projects were found in that time, each took the request of a list at least, under the same limits.
        listed = self.discovery.projects - self._listed_before >= sum(map(len, sent.values()))
        loads = self._scopes.loads({account: [count + listed for count in counts] for account, counts in sent.items()})
        latency = self.median_latency or 0.0
        bound = self._scopes.floor(loads, latency)
        if self.learned:
            within = self._scopes.floor(loads, latency, proven(self.learned))
            # One that a faster run contradicts was not in force all the time.
            bound |= Floor(min(within.seconds, self._duration), within.bottleneck)
        return Floor(round(bound.seconds, 6), bound.bottleneck)

    @property
    def _duration(self) -> float:
        return (self.finished_at - self.started_at).total_seconds()

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON, schema `SCHEMA`, with what merging needs; all of it JSON-serialisable."""
        finished_at = self.finished_at
        duration = (finished_at - self.started_at).total_seconds()
        counts = self._tally.to_dict()
        counts["requests"] |= {
            "reads": self.reads,
            "reads_throttled": self.reads_throttled,
            **{key: getattr(self, key) for key in _SIGN_INS},
        }
        return {
            "schema": SCHEMA,
            "run_id": self.run_id,
            "runs": list(self.runs),
            "started_at": _rfc3339(self.started_at),
            "finished_at": _rfc3339(finished_at),
            "duration_s": duration,
            "interrupted": self.interrupted,
            "interrupted_by": self.signal,
            "error": self.error,
            "accounts": {
                "signed_in": self.signed_in,
                "refused": self.refused,
                "failed": [
                    {"account": name, "message": self.refused_accounts[name]} for name in sorted(self.refused_accounts)
                ],
            },
            "discovery": self.discovery.to_dict(),
            **counts,
            "limits": {"learned": learned_list(self.learned)},
            "speed": self.floor.to_dict(duration if len(self.runs) == 1 else None),
            "latency_ms": self._tally.latency.to_dict(),
            "latency_buckets": self._tally.latency.buckets(),
        }

    def __getstate__(self) -> dict[str, Any]:
        """For a copy in another process, which has another clock: what was counted by now."""
        return {**self.__dict__, "_finished_at": self.finished_at, "_floor": self.floor, "_clock": time.monotonic}

    # ---- putting together

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
            merged.reads += one.reads
            merged.reads_throttled += one.reads_throttled
            merged.add_sign_ins(one.sign_ins, one.sign_ins_throttled, one.sign_ins_refused)
            for account, message in one.refused_accounts.items():
                merged._add_refused(account, message)
        merged.learned = union(self.learned, other.learned)
        merged.runs = tuple(sorted(self.runs + other.runs))
        merged.signed_in = self.signed_in or other.signed_in
        merged.refused = self.refused or other.refused
        merged.interrupted = self.interrupted or other.interrupted
        merged.signal = max((one.signal for one in (self, other) if one.signal is not None), default=None)
        merged.error = min((one.error for one in (self, other) if one.error is not None), default=None)
        merged.started_at = min(self.started_at, other.started_at)
        merged._finished_at = max(self.finished_at, other.finished_at)
        merged._floor = self.floor | other.floor
        return merged

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """The report of which `data` is the JSON, with all failures in it; keys it does not know are left alone.

        Keys that reports of older versions have not may be missing. `ConfigError` names the key that is missing, of
        another type, or at odds with the others.
        """
        fields = Fields(data, "report")
        if (schema := fields.text("schema")) != SCHEMA:
            raise fields.wrong("schema", f"is {schema[:60]!r}, and only {SCHEMA!r} can be read")
        report = cls(max_failures=None)
        report._read_run(fields)
        report._tally = read_tally(fields)
        report._read_accounts(fields)
        report._read_requests(fields.fields("requests"))
        if "discovery" in fields:
            report.discovery = Discovery.from_fields(fields.fields("discovery"))
        if "limits" in fields:
            report.learned = read_learned(fields.fields("limits"))
        return report

    def _read_requests(self, fields: Fields) -> None:
        self.reads, self.reads_throttled = (fields.integer_if_there(key) or 0 for key in ("reads", "reads_throttled"))
        self.add_sign_ins(*(fields.integer_if_there(key) or 0 for key in _SIGN_INS))
        if self.sign_ins_throttled + self.sign_ins_refused > self.sign_ins:
            raise fields.wrong(_SIGN_INS[0], "must be at least as many as were throttled and refused")

    def _read_run(self, fields: Fields) -> None:
        self.runs = tuple(fields.texts("runs")) if "runs" in fields else (fields.text("run_id"),)
        if not self.runs or sorted(set(self.runs)) != list(self.runs) or fields.text("run_id") != self.run_id:
            raise fields.wrong("runs", "must be the sorted ids of the runs, and run_id what follows from them")
        self.started_at, self._finished_at = fields.time("started_at"), fields.time("finished_at")
        if self._finished_at < self.started_at:
            raise fields.wrong("finished_at", "is before started_at")
        self.interrupted, self.signal = fields.flag("interrupted"), fields.integer_if_there("interrupted_by")
        if self.signal is not None and not (self.interrupted and 0 < self.signal < 128):
            raise fields.wrong("interrupted_by", "must be the number of the signal that interrupted the run")
        self.error = fields.text_if_there("error")
        self._floor = _floor_of(fields.fields("speed"))

    def _read_accounts(self, fields: Fields) -> None:
        unauthorized = self._tally.verdicts.get(Verdict.UNAUTHORIZED, 0)
        answered = sum(project.answered for project in self._tally.projects())
        # Without the key: an answer other than that the credential is refused shows that it was let in.
        self.signed_in, self.refused = answered > unauthorized, unauthorized > 0
        if "accounts" in fields:
            accounts, groups = fields.fields("accounts"), self._tally.targets()
            self.signed_in, self.refused = accounts.flag("signed_in"), accounts.flag("refused")
            if groups["done"] + groups["gone"] and not self.signed_in:
                raise accounts.wrong("signed_in", "must be true where targets are done or gone")
            for account in accounts.each("failed") if "failed" in accounts else ():
                self._add_refused(account.text("account"), account.text("message"))

    def _add_refused(self, account: str, message: str) -> None:
        self.refused_accounts[account] = min(self.refused_accounts.get(account, message), message)


def _let_in(projects: Iterable[ProjectTally]) -> Iterator[int]:
    """How many targets of each project a limit let in: not what was throttled to its end, nor projects without any."""
    for project in projects:
        if count := project.sent - project.status_codes.get(429, 0):
            yield count


def _merged_id(runs: tuple[str, ...]) -> str:
    return f"merged-{hashlib.sha256(json.dumps(runs).encode()).hexdigest()[:32]}"


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _floor_of(speed: Fields) -> Floor:
    """Read back `Floor.to_dict`; `ConfigError` naming the key."""
    return Floor(speed.optional_number("floor_s") or 0.0, speed.optional_text("bottleneck"))
