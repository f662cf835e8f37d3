"""What the final answers were: by status and code, and per account the three sums that tell a wrong endpoint.

Bounded by the number of accounts, and of distinct status and error codes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sdrs_async.cloud.answers import is_service_code
from sdrs_async.models import Verdict
from sdrs_async.report.fields import Fields
from sdrs_async.report.projects import ProjectTally, add_counts, total

_DELETED, _NOT_FOUND, _OTHER = range(3)
_KEYS = ("deleted", "not_found", "other")


class Answers:
    """`sums`: by account and endpoint how many targets were deleted, how many a 404 without an error code answered, and
    how many ended otherwise; what was skipped or is unsettled is in none. `kinds`: by status, error code and verdict
    how many were not deleted.

    `endpoints`: of each account. Merging adds.
    """

    __slots__ = ("_endpoints", "_of", "kinds", "sums")

    def __init__(self, endpoints: Mapping[str, str] | None = None) -> None:
        self.sums: dict[tuple[str, str], list[int]] = {}
        self.kinds: dict[tuple[int | None, str, str], int] = {}
        self._endpoints = dict(endpoints or {})
        self._of: dict[str, list[int]] = {}

    def add(self, account: str, verdict: str, status_code: int | None, error_code: str | None) -> None:
        """Count a target that was deleted, is gone, or failed."""
        sums = self._of.get(account) or self._sums_of(account)
        if verdict == Verdict.DELETED:
            sums[_DELETED] += 1
            return
        is_bare = verdict == Verdict.GONE and status_code == 404 and not is_service_code(error_code)
        sums[_NOT_FOUND if is_bare else _OTHER] += 1
        kind = status_code, error_code or "", str(verdict)
        self.kinds[kind] = self.kinds.get(kind, 0) + 1

    def _sums_of(self, account: str) -> list[int]:
        key = account, self._endpoints.get(account, "")
        sums = self._of[account] = self.sums.setdefault(key, [0, 0, 0])
        return sums

    def absorb(self, other: Answers) -> None:
        """Add another one's counts."""
        for key, counts in other.sums.items():
            _add(self.sums.setdefault(key, [0, 0, 0]), counts)
        add_counts(self.kinds, other.kinds)

    def suspects(self) -> list[tuple[str, str, int]]:
        """Accounts of which nothing but 404s without an error code came, perhaps from a wrong host, in order.

        Each with its endpoint, empty where that is not known, and the number of its targets. What an account did at an
        endpoint that is not known, in an older report, speaks for it.
        """
        found = []
        for (account, endpoint), (deleted, not_found, other) in sorted(self.sums.items()):
            unknown = self.sums.get((account, ""), [0, 0, 0])
            if not_found and not (deleted or other or unknown[_DELETED] or unknown[_OTHER]):
                found.append((account, endpoint, not_found))
        return found

    def to_dict(self) -> dict[str, Any]:
        """The section of the report: the sums by account and endpoint, and what was not deleted by its status."""
        order = sorted(self.kinds, key=lambda kind: (kind[0] is None, kind[0] or 0, *kind[1:]))
        return {
            "accounts": [
                {"account": account, "endpoint": endpoint or None, **dict(zip(_KEYS, sums, strict=True))}
                for (account, endpoint), sums in sorted(self.sums.items())
            ],
            "others": [
                {"status_code": kind[0], "error_code": kind[1] or None, "verdict": kind[2], "count": self.kinds[kind]}
                for kind in order
            ],
        }


# ---- reading, where the sums are checked against the projects: those of older reports follow from these


def read_answers(fields: Fields, accounts: Mapping[str, Iterable[ProjectTally]]) -> Answers:
    """Read back `to_dict`, where `fields`, the report, has it. `accounts`: the projects of each.

    Raises `ConfigError` for what is at odds with them. Of reports that were merged, one may not have known what the
    others were, nor whether a 404 had an error code: these speak neither for an endpoint nor against it.
    """
    answers, ends = Answers(), {account: total(projects) for account, projects in accounts.items()}
    if "answers" not in fields:
        for account, end in ends.items():
            deleted, untold = end.targets["done"], _untold(end)
            if end.sent > untold:
                answers.sums[account, ""] = [deleted, 0, end.sent - deleted - untold]
        return answers
    section = fields.fields("answers")
    _read_rows(section, answers)
    if not _add_up(answers.sums, ends):
        raise section.wrong("accounts", "do not add up with the projects of the report")
    codes = Counter[int | None]()
    for (status, *_), count in answers.kinds.items():
        codes[status] += count
    if codes - Counter(total(ends.values()).status_codes):
        raise section.wrong("others", "do not add up with the status codes of the report")
    return answers


def _read_rows(section: Fields, answers: Answers) -> None:
    for row in section.each("accounts"):
        key = row.text("account"), row.optional(row.text, "endpoint") or ""
        if key in answers.sums:
            raise row.wrong("account", f"{key[0]!r} is there twice at this endpoint")
        answers.sums[key] = [row.integer(name) for name in _KEYS]
    for row in section.each("others"):
        kind = row.optional(row.integer, "status_code"), row.optional(row.text, "error_code") or "", row.text("verdict")
        answers.kinds[kind] = answers.kinds.get(kind, 0) + row.integer("count")


def _untold(end: ProjectTally) -> int:
    """How many may be 404s of which an older report does not tell whether they had an error code."""
    return min(end.targets["gone"], end.status_codes.get(404, 0))


def _add(sums: list[int], counts: Iterable[int]) -> None:
    for place, count in enumerate(counts):
        sums[place] += count


def _add_up(sums: Mapping[tuple[str, str], Sequence[int]], ends: Mapping[str, ProjectTally]) -> bool:
    by_account = {account: [0, 0, 0] for account in ends}
    for (account, _), counts in sums.items():
        _add(by_account.setdefault(account, [0, 0, 0]), counts)
    for account, (deleted, not_found, other) in by_account.items():
        end = ends.get(account, ProjectTally())
        missing = end.sent - deleted - not_found - other
        if deleted != end.targets["done"] or not 0 <= missing <= _untold(end) - not_found:
            return False
    return True
