"""The limits that a server showed, as JSON and merged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from sdrs_async.errors import ConfigError, placed
from sdrs_async.limits import Learned, Rate
from sdrs_async.report.fields import Fields

SCOPES = ("endpoint", "user", "project")
"""Whose limits can be learned, the widest first."""


def union(*learned: Iterable[Learned]) -> tuple[Learned, ...]:
    """Each limit once, in order.

    `projects` is the most that one run counted: the runs may have had the same projects, and a sum could be too high.
    """
    most: dict[tuple[str, str, Rate, bool], int] = {}
    for one in (one for several in learned for one in several):
        key = (one.scope, one.account, one.rate, one.told)
        most[key] = max(most.get(key, 0), one.projects)
    return tuple(sorted((Learned(*key, projects) for key, projects in most.items()), key=_order))


def _order(one: Learned) -> tuple[int, str, bool, float, str]:
    return SCOPES.index(one.scope), one.account, not one.told, one.rate.count / one.rate.per, str(one.rate)


def proven(learned: Iterable[Learned]) -> list[Learned]:
    """The limits that no run of these projects could pass: those that were told, and of found ones the highest.

    Where projects of an account differ, the server has let one have more; what the others had may be their own fault.
    """
    limits = union(learned)
    found: dict[tuple[str, str], list[Learned]] = {}
    for one in limits:
        if not one.told:
            found.setdefault((one.scope, one.account), []).append(one)
    highest = (
        replace(max(same, key=lambda one: one.rate.count / one.rate.per), projects=sum(one.projects for one in same))
        for same in found.values()
    )
    return [one for one in limits if one.told] + list(highest)


def learned_list(learned: Iterable[Learned]) -> list[dict[str, Any]]:
    """As JSON has it, in order."""
    return [asdict(one) | {"rate": str(one.rate)} for one in union(learned)]


def read_learned(fields: Fields) -> tuple[Learned, ...]:
    """Read back `learned_list`; `ConfigError` naming the key. Without the key nothing was learned."""
    return union(_read(one) for one in fields.each("learned")) if "learned" in fields else ()


def _read(fields: Fields) -> Learned:
    scope = fields.text("scope")
    if scope not in SCOPES:
        raise fields.wrong("scope", f"must be one of {', '.join(SCOPES)}")
    with placed(f"{fields.path}.rate"):
        if (rate := Rate.parse(fields.text("rate"))) is None:
            raise ConfigError("must be a rate")
    return Learned(scope, fields.text("account"), rate, fields.flag("told"), fields.integer("projects"))
