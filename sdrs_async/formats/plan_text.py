"""A plan in words: on the terminal, and in the question before a deletion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sdrs_async.formats import wording
from sdrs_async.formats.text import learned_section
from sdrs_async.formats.wording import duration, many, printable
from sdrs_async.limits import Limits
from sdrs_async.report import Report
from sdrs_async.report.discovery import in_words

if TYPE_CHECKING:
    from sdrs_async.accounts.account import Account
    from sdrs_async.cleanup.plan import Plan
    from sdrs_async.cleanup.spool import Extent, Spool
    from sdrs_async.pace.floor import Floor

_WORTH_A_WORD = 1.0


def extent(one: Plan | Spool) -> str:
    """How much there is."""
    return amount(one.groups, one.projects, one.levels)


def amount(groups: int, projects: int, levels: int) -> str:
    """`3 protection groups in 2 projects, and of the project level of 1 project`."""
    level = f"the project level of {many(levels, 'project')}"
    if levels and not groups:
        return level
    words = f"{many(groups, 'protection group')} in {many(projects, 'project')}"
    return f"{words}, and of {level}" if levels else words


def groups_of(one: Extent) -> str:
    """How many groups of a project; nothing where its own level is all that there is."""
    return "" if one.project_level and not one.groups else f"{one.groups:,}"


def floor_words(floor: Floor) -> str:
    """`at least 3 min 20 s at these limits (user rate)`; empty when it is not worth a word: below a second."""
    if floor.bottleneck is None or floor.seconds < _WORTH_A_WORD:
        return ""
    return f"at least {duration(floor.seconds)} at these limits ({floor.bottleneck})"


def plan_parts(
    plan: Plan, title: str, latency: float, credentials: Mapping[str, str], *, fleet_file: bool
) -> Iterator[RenderableType]:
    """For the terminal. `latency`: the seconds that an answer is assumed to take.

    `credentials`: the kind of each account's, by its name; `fleet_file`: the accounts come from one.
    """
    of = f" of {len(plan.accounts):,} accounts" if len(plan.accounts) > 1 else ""
    yield Text(f"{title} {extent(plan)}{of}.", style="bold")
    if (floor := plan.floor(lists=plan.listed)).bottleneck is not None:
        pace, lists = wording.pace(floor.bottleneck), ", with its lists" * plan.listed
        yield Text(
            f"Takes at least {duration(floor.seconds)}{lists} ({latency * 1000:.0f} ms per answer assumed): {pace}."
        )
    if plan.report.interrupted:
        yield Text("Interrupted: there may be more that was not found.", style="red")
    for account in plan.accounts:
        yield Text()
        yield Text(printable(account.name), style="bold")
        yield Padding(_facts(account, plan, credentials[account.name]), (0, 0, 0, 2), expand=False)
        if (projects := _projects(account, plan)).row_count:
            yield Padding(projects, (1, 0, 0, 2), expand=False)
    yield from _gaps(plan.report)
    yield from learned_section(plan.learned, fleet_file=fleet_file)


def _facts(account: Account, plan: Plan, credential: str) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    floor = plan.floor(account.name, lists=plan.listed)
    takes = f"at least {duration(floor.seconds)} ({floor.bottleneck})" if floor.bottleneck is not None else ""
    facts = {
        "Endpoint": account.endpoint,
        "Region": account.region or "not known",
        "Credential": credential,
        "Limits": _limits(account.limits, plan.scopes.concurrency),
        "Takes": takes if len(plan.accounts) > 1 else "",
        "Left out": in_words(plan.left_out(account.name)),
    }
    for name, value in facts.items():
        if value:
            grid.add_row(name, Text(printable(value)))
    return grid


def _limits(limits: Limits, concurrency: int | None) -> str:
    words = {
        "per project": limits.project_rate,
        "at a time per project": limits.project_concurrency,
        "in all": limits.user_rate,
        "to the endpoint": limits.endpoint_rate,
        "at a time over all accounts": concurrency,
    }
    return ", ".join(f"{limit} {what}" for what, limit in words.items() if limit is not None) or "none"


def _projects(account: Account, plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("groups", justify="right", no_wrap=True)
    if plan.levels:
        table.add_column("project level", no_wrap=True)
    table.add_column("project", overflow="fold")
    table.add_column("name", overflow="fold")
    for one in plan.by_project(account.name):
        level = ["yes" if one.project_level else ""] if plan.levels else []
        name = Text(printable(plan.names.get((one.account, one.project_id), "")))
        table.add_row(groups_of(one), *level, Text(printable(one.project_id)), name)
    return table


def _gaps(report: Report) -> Iterator[RenderableType]:
    document = report.to_dict()
    for heading, (gaps, more) in (
        ("Refused accounts", wording.refused_accounts(document)),
        ("Not (wholly) listed", wording.unlisted(document)),
    ):
        if gaps:
            yield Text()
            yield Text(heading, style="bold")
        for gap in gaps:
            yield Padding(Text(printable(gap.happened), style="red", overflow="fold"), (0, 0, 0, 2), expand=False)
            for line in (gap.remedy, *gap.names):
                yield Padding(Text(printable(line), overflow="fold"), (0, 0, 0, 4), expand=False)
        if more:
            yield Padding(Text(printable(more), style="italic"), (0, 0, 0, 2), expand=False)
