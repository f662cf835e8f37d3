"""A plan in words: on the terminal, and in the question before a deletion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sdrs_async.formats import wording
from sdrs_async.formats.text import facts, gap_sections, indented, learned_section, table
from sdrs_async.formats.wording import duration, many, printable
from sdrs_async.limits import Limits
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
        yield indented(_facts(account, plan, credentials[account.name]))
        if (projects := _projects(account, plan)).row_count:
            yield indented(projects, above=1)
    yield from gap_sections(plan.report.to_dict())
    yield from learned_section(plan.learned, fleet_file=fleet_file)


def _facts(account: Account, plan: Plan, credential: str) -> Table:
    floor = plan.floor(account.name, lists=plan.listed)
    takes = f"at least {duration(floor.seconds)} ({floor.bottleneck})" if floor.bottleneck is not None else ""
    texts = {
        "Endpoint": account.endpoint,
        "Region": account.region or "not known",
        "Credential": credential,
        "Limits": _limits(account.limits, plan.scopes.concurrency),
        "Takes": takes if len(plan.accounts) > 1 else "",
        "Left out": in_words(plan.left_out(account.name)),
    }
    return facts({name: Text(printable(text)) for name, text in texts.items() if text})


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
    shown = table(["groups", *["project level"] * bool(plan.levels), "project", "name"], {"project", "name"})
    for one in plan.by_project(account.name):
        level = ["yes" if one.project_level else ""] if plan.levels else []
        name = Text(printable(plan.names.get((one.account, one.project_id), "")))
        shown.add_row(groups_of(one), *level, Text(printable(one.project_id)), name)
    return shown
