"""The limits that a server showed in plain words, with what keeps to them from the start; for summary and page."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from sdrs_async.formats.wording import many
from sdrs_async.limits import Learned, Rate
from sdrs_async.report.learned import union

HEADING = "Limits that the server showed"
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_FOUND = "found by trying: it may be a little off, and may change"
_TOLD = "as its 429 says"

_Key = tuple[str, str]
"""Scope and account."""


class Shown(NamedTuple):
    """A sentence for each limit; what `lines`, flags of the command or lines of a fleet file, are for. Not escaped."""

    sentences: list[str]
    purpose: str
    lines: list[str]


def shown(learned: Iterable[Learned], *, fleet_file: bool = False) -> Shown | None:
    """What a run knows of the server's limits; `None` when it learned nothing.

    `fleet_file`: its accounts came from one, so that flags, which hold for all of them, would say too much; so they do
    where the limits are those of several accounts, or of several endpoints.
    """
    limits = union(learned)
    if not limits:
        return None
    accounts = {one.account for one in limits if one.scope != "endpoint"}
    endpoints = {one.account for one in limits if one.scope == "endpoint"}
    in_file = fleet_file or max(len(accounts), len(endpoints)) > 1
    lowest = _lowest(limits)
    them = "it" if len(lowest) == 1 else "them"
    flags = " ".join(f"--{scope}-rate {shlex.quote(str(rate))}" for (scope, _), rate in lowest.items())
    lines = list(_in_file(lowest)) if in_file else [flags]
    where = _under(lines) if in_file else "with these flags" if len(lowest) > 1 else "with this flag"
    return Shown(list(_sentences(limits)), f"To keep to {them} from the start, {where}:", lines)


def legible(rate: Rate) -> Rate:
    """A rate as one would write it, never a higher one: what was found by trying has a time of many digits."""
    if rate.per == int(rate.per):
        return rate
    digits = 2 - math.floor(math.log10(rate.per))
    return replace(rate, per=math.ceil(round(rate.per * 10**digits, 6)) / 10**digits)


def _sentences(limits: Iterable[Learned]) -> Iterator[str]:
    groups: dict[tuple[str, str, bool], list[Learned]] = {}
    for one in limits:
        groups.setdefault((one.scope, one.account, one.told), []).append(one)
    for (scope, account, told), same in groups.items():
        rates = sorted((legible(one.rate) for one in same), key=_speed)
        rate = str(rates[0]) if rates[0] == rates[-1] else f"from {rates[0]} to {rates[-1]}"
        whose = _whose(scope, account, sum(one.projects for one in same))
        yield f"{whose}: {rate}, {_TOLD if told else _FOUND}"


def _whose(scope: str, account: str, projects: int) -> str:
    if scope == "endpoint":
        return f"Rate of the endpoint {account}".rstrip()
    owner = f" of {account}" if account else ""
    if scope == "user":
        return f"User rate{owner}"
    return f"Project rate, seen in {many(projects, 'project')}{owner}" if projects else f"Project rate{owner}"


def _lowest(limits: Iterable[Learned]) -> dict[_Key, Rate]:
    """One rate for each scope and account: what all of its projects bear."""
    lowest: dict[_Key, Rate] = {}
    for one in limits:
        key, rate = (one.scope, one.account), legible(one.rate)
        lowest[key] = min(lowest.get(key, rate), rate, key=_speed)
    return lowest


def _in_file(lowest: Mapping[_Key, Rate]) -> Iterator[str]:
    accounts: dict[str, list[str]] = {}
    for (scope, account), rate in lowest.items():
        if scope != "endpoint":
            accounts.setdefault(account, []).append(f'limits.{scope}_rate = "{rate}"')
    for account, lines in accounts.items():
        key = account if _BARE_KEY.fullmatch(account) else json.dumps(account, ensure_ascii=False)
        yield f"[accounts.{key}]"
        yield from lines
    for (scope, url), rate in lowest.items():
        if scope == "endpoint":
            # A report does not know who is there; one account is enough, since it holds for all of them.
            yield f'# in one account at {url}: limits.endpoint_rate = "{rate}"'


def _under(lines: Iterable[str]) -> str:
    # TOML has a table once: who adds the heading again has a file that cannot be read.
    headings = sum(line.startswith("[") for line in lines)
    return f"in the fleet file{', under its heading' if headings == 1 else ', under their headings' * (headings > 1)}"


def _speed(rate: Rate) -> tuple[float, int]:
    return rate.count / rate.per, rate.count
