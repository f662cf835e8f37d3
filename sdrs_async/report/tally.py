"""The counts of a run: by account and project, verdict, status code and cause. Adding is the hot path, merging adds.

Bounded by the numbers of projects, of distinct status and error codes, and of failures to keep; not by the targets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from sdrs_async.models import Outcome, ProjectLevel, Verdict
from sdrs_async.report.answers import Answers, read_answers
from sdrs_async.report.failures import Failure, Failures
from sdrs_async.report.fields import Fields
from sdrs_async.report.latency import Latency
from sdrs_async.report.projects import (
    GROUP_OF,
    GROUPS,
    ProjectTally,
    add_counts,
    read_targets,
    status_codes_dict,
    targets_dict,
    total,
)
from sdrs_async.report.remedies import is_this_the_endpoint, kind_of, remedy, worth_retrying

_CauseKey = tuple[str, str, str]
_OF_LISTS: frozenset[str] = frozenset({Verdict.READ, Verdict.INCOMPLETE})


@dataclass(frozen=True, slots=True)
class Cause:
    """How many targets share a verdict, an error code, and what their message alone tells.

    `message` is the first of theirs in order, as an example.
    """

    count: int
    message: str


class Tally:
    """All counts of one run, or of several. `accounts`: those of each project by the names of their accounts;
    `endpoints`: where each of them is.

    The same project id with two accounts is two projects: their endpoints may be two clouds.
    """

    __slots__ = (
        "accounts", "answers", "causes", "duplicates", "failures", "latency", "retries", "sent", "throttled",
        "verdicts",
    )  # fmt: skip

    def __init__(self, max_failures: int | None, endpoints: Mapping[str, str] | None = None) -> None:
        self.answers = Answers(endpoints)
        self.accounts: dict[str, dict[str, ProjectTally]] = {}
        self.verdicts: dict[str, int] = {}
        self.causes: dict[_CauseKey, Cause] = {}
        self.failures = Failures(max_failures)
        self.latency = Latency()
        self.sent = self.retries = self.throttled = self.duplicates = 0

    def add(self, outcome: Outcome, now: float) -> None:
        """Count one settled target; `now` is the clock's time of its settlement."""
        target, verdict = outcome.target, outcome.verdict
        project = self.project(outcome.account, target.project_id)
        group = GROUP_OF.get(verdict, "failed")
        project.targets[group] += 1
        if isinstance(target, ProjectLevel):
            add_counts(project.project_level, {group: 1})
        self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1
        if attempts := outcome.attempts:
            self.sent += attempts
            self.retries += attempts - 1
            self.throttled += outcome.throttled
            project.tried(now - outcome.elapsed, now)
        if outcome.latency is not None:
            self.latency.add(outcome.latency)
        if group not in ("skipped", "unsettled"):
            codes = project.status_codes
            codes[outcome.status_code] = codes.get(outcome.status_code, 0) + 1
            self.answers.add(outcome.account, verdict, outcome.status_code, outcome.error_code)
        if group in ("failed", "skipped"):
            self.add_cause(verdict, outcome.error_code, 1, outcome.message)
            if group == "failed":
                self.failures.add(Failure.of(outcome))

    def project(self, account: str, project_id: str) -> ProjectTally:
        """The counts of an account's project, empty ones for a new one."""
        projects = self.accounts.get(account)
        if projects is None:
            projects = self.accounts[account] = {}
        project = projects.get(project_id)
        if project is None:
            project = projects[project_id] = ProjectTally()
        return project

    def projects(self) -> Iterator[ProjectTally]:
        """The counts of every project of every account."""
        for projects in self.accounts.values():
            yield from projects.values()

    def add_cause(self, verdict: str, error_code: str | None, count: int, message: str) -> None:
        """Count targets of one cause. What only the message tells (`kind_of`) is one apart: another thing mends it."""
        key = (verdict, error_code or "", kind_of(verdict, message))
        known = self.causes.get(key, Cause(0, message))
        self.causes[key] = Cause(known.count + count, min(known.message, message))

    def add_unsettled(self, account: str, project_id: str, count: int, project_level: bool) -> None:
        """Count targets that were planned and never sent; `project_level`: they are no groups."""
        if count:
            project = self.project(account, project_id)
            project.targets["unsettled"] += count
            if project_level:
                add_counts(project.project_level, {"unsettled": count})
            add_counts(self.verdicts, {Verdict.UNSETTLED: count})

    def add_duplicates(self, count: int) -> None:
        """Count targets that were given more than once."""
        self.duplicates += count

    def absorb(self, other: Tally) -> None:
        """Add another one's counts to this one's."""
        for account, projects in other.accounts.items():
            for project_id, project in projects.items():
                self.project(account, project_id).absorb(project)
        add_counts(self.verdicts, other.verdicts)
        self.answers.absorb(other.answers)
        for (verdict, code, _), cause in other.causes.items():
            self.add_cause(verdict, code, cause.count, cause.message)
        for failure in other.failures.ordered():
            self.failures.add(failure)
        self.latency.absorb(other.latency)
        self.sent += other.sent
        self.retries += other.retries
        self.throttled += other.throttled
        self.duplicates += other.duplicates

    def targets(self) -> dict[str, int]:
        """Targets by group, as of now; cheap enough to ask for at every redraw."""
        groups = dict.fromkeys(GROUPS, 0)
        for verdict, count in self.verdicts.items():
            groups[GROUP_OF.get(verdict, "failed")] += count
        return groups

    def only_worth_retrying(self) -> bool:
        """Whether every failure, if any, has a cause that another run may mend; skipped ones have none."""
        causes = self.causes.items()
        return all(worth_retrying(verdict, cause.message) for (verdict, *_), cause in causes)

    def to_dict(self) -> dict[str, Any]:
        """The counts as sections of the report."""
        targets = self.targets()
        whole = total(self.projects())
        failures = [failure.line() for failure in self.failures.ordered()]
        return {
            "targets": targets_dict(targets) | {"duplicates": self.duplicates},
            "project_level": targets_dict(whole.project_level),
            "status_codes": status_codes_dict(whole.status_codes),
            "verdicts": {str(verdict): self.verdicts[verdict] for verdict in sorted(self.verdicts)},
            "requests": {"sent": self.sent, "retries": self.retries, "throttled": self.throttled},
            "projects": [
                projects[project_id].to_dict(account, project_id)
                for account, projects in sorted(self.accounts.items())
                for project_id in sorted(projects)
            ],
            "failures": failures,
            "failures_omitted": targets["failed"] - len(failures),
            "answers": self.answers.to_dict(),
            "causes": [*_suspected(self.answers), *_causes_list(self.causes)],
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> Self:
        """Read back `to_dict`; `ConfigError` naming the key that is at odds with the others.

        Every sum is checked: a report that was edited or cut must not be merged in silence.
        """
        tally = cls(None)
        for row in fields.each("projects"):
            tally._read_project(row)
        tally.verdicts = fields.counts("verdicts")
        for cause in fields.each("causes"):
            key = cause.text("verdict"), cause.optional(cause.text, "error_code")
            if key[0] != Verdict.GONE:  # it follows from the sums, and may not hold for several reports together
                tally.add_cause(*key, cause.integer("count"), cause.if_there(cause.text, "message") or "")
        for failure in fields.each("failures"):
            tally.failures.add(Failure.from_fields(failure))
        latency_ms = fields.fields("latency_ms")
        if "latency_buckets" in fields:  # else there is nothing that could be merged, and the latency is not known
            tally.latency = Latency.from_fields(latency_ms, fields.fields("latency_buckets"))
        requests = fields.fields("requests")
        tally.sent, tally.retries, tally.throttled = map(requests.integer, ("sent", "retries", "throttled"))
        tally.duplicates = fields.fields("targets").integer("duplicates")
        _check_sums(fields, tally)
        tally.answers = read_answers(fields, {name: projects.values() for name, projects in tally.accounts.items()})
        return tally

    def _read_project(self, fields: Fields) -> None:
        account, project_id = fields.if_there(fields.text, "account") or "", fields.text("project_id")
        projects = self.accounts.setdefault(account, {})
        if project_id in projects:
            owner = f" with account {account!r}" if account else ""
            raise fields.wrong("project_id", f"{project_id!r} is there twice{owner}")
        projects[project_id] = ProjectTally.from_fields(fields)


def _causes_list(causes: Mapping[_CauseKey, Cause]) -> list[dict[str, Any]]:
    """The causes, the most frequent first; what was skipped comes after the failures that may have led to it."""
    order = sorted(causes.items(), key=lambda item: (item[0][0] == Verdict.SKIPPED, -item[1].count, item[0]))
    return [_cause_line(*key[:2], cause, remedy(*key[:2], cause.message)) for key, cause in order]


def _suspected(answers: Answers) -> Iterator[dict[str, Any]]:
    """The causes that no target has by itself: what all answers to an account together may come from."""
    for account, endpoint, targets in answers.suspects():
        message, what_to_do = is_this_the_endpoint(account, endpoint, targets)
        yield _cause_line(Verdict.GONE, "", Cause(targets, message), what_to_do)


def _cause_line(verdict: str, code: str, cause: Cause, what_to_do: str) -> dict[str, Any]:
    return {"verdict": str(verdict), "error_code": code or None, **asdict(cause), "remedy": what_to_do}


def _check_sums(fields: Fields, tally: Tally) -> None:
    groups, whole = read_targets(fields, "targets"), total(tally.projects())
    level = read_targets(fields, "project_level") if "project_level" in fields else {}
    failures = tally.failures.ordered()
    kept, omitted = len(failures), fields.if_there(fields.integer, "failures_omitted")
    caused = sum(cause.count for cause in tally.causes.values())
    wrong = {
        "targets": groups != whole.targets,
        "project_level": targets_dict(level) != targets_dict(whole.project_level)
        or sum(not failure.server_group_id for failure in failures) > whole.project_level.get("failed", 0),
        "status_codes": Counter(fields.counts("status_codes")) != Counter(status_codes_dict(whole.status_codes)),
        "verdicts": tally.targets() != groups,
        "failures": kept > groups["failed"] if omitted is None else kept + omitted != groups["failed"],
        "causes": caused != groups["failed"] + groups["skipped"],
        "requests": max(tally.retries, tally.throttled, whole.answered) > tally.sent,
    }
    for key in (key for key, is_wrong in wrong.items() if is_wrong):
        raise fields.wrong(key, "does not add up with the other numbers of the report")
    if odd := [failure for failure in failures if failure.verdict in GROUP_OF]:
        raise fields.wrong("failures", f"holds a target that is {odd[0].verdict}")
    if odd_verdict := _OF_LISTS & tally.verdicts.keys():
        raise fields.wrong("verdicts", f"holds {min(odd_verdict)}, which no target can be")
