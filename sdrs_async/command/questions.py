"""What is asked before a deletion, and the words for how much there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import nlargest
from urllib.parse import urlsplit

from sdrs_async.accounts.account import Account
from sdrs_async.cleanup.spool import Extent, Spool
from sdrs_async.cloud.listing import Project
from sdrs_async.command.floors import floor_words
from sdrs_async.command.streams import ask, say
from sdrs_async.formats import wording
from sdrs_async.formats.wording import many
from sdrs_async.pace.floor import Floor
from sdrs_async.report.discovery import in_words
from sdrs_async.run import Finding

__all__ = ["about_found", "about_list", "confirmed", "extent", "groups_of", "names_of"]

_SHOWN = 10
_FOR_GOOD = "This cannot be undone."


async def confirmed(lines: Sequence[str]) -> bool:
    """Show all lines; the last one is the question. Whether the answer was yes."""
    *before, question = lines
    for line in before:
        say(line)
    return await ask(question)


def about_list(spooled: Spool, accounts: Sequence[Account], floor: Floor) -> list[str]:
    """The question about a list of targets; before it: what each of several accounts has, and the least time."""
    if len(accounts) > 1:
        return [*_of_accounts(accounts, spooled, {}), *_takes(floor), _question(spooled, accounts)]
    host = urlsplit(accounts[0].endpoint).netloc
    return [*_takes(floor), f"Delete the failed tasks of {extent(spooled)} at {host}? {_FOR_GOOD}"]


def about_found(spooled: Spool, finding: Finding, accounts: Sequence[Account], floor: Floor) -> list[str]:
    """The question about what was found; before it: the largest projects of each account, what is missing, the time."""
    lines = list(_of_accounts(accounts, spooled, names_of(finding.projects)))
    gaps, more = wording.unlisted(finding.report.to_dict())
    lines += [f"warning: not (wholly) listed: {name} ({gap.happened})" for gap in gaps for name in gap.names]
    lines += [f"warning: not (wholly) listed: {more}"] * bool(more)
    if left_out := wording.left_out_reasons(finding.report.to_dict()["discovery"]):
        lines.append(f"left out: {many(left_out.total(), 'project')} ({in_words(left_out)})")
    return [*lines, *_takes(floor), _question(spooled, accounts)]


def _of_accounts(accounts: Sequence[Account], spooled: Spool, names: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """How much each account has, and its largest projects."""
    for account in accounts:
        own = list(spooled.extents(account.name))
        yield f"{account.name} at {urlsplit(account.endpoint).netloc}: {_sum(own)}"
        for one in nlargest(_SHOWN, own, key=lambda one: one.groups):
            yield f"{groups_of(one):>8}  {one.project_id}  {names.get((account.name, one.project_id), '')}".rstrip()
        if len(own) > _SHOWN:
            yield f"{'':>8}  and {many(len(own) - _SHOWN, 'more project')}"


def _question(spooled: Spool, accounts: Sequence[Account]) -> str:
    of = f"with {accounts[0].name}" if len(accounts) == 1 else f"of {len(accounts):,} accounts"
    return f"Delete the failed tasks of {extent(spooled)} {of}? {_FOR_GOOD}"


def _takes(floor: Floor) -> list[str]:
    words = floor_words(floor)
    return [f"This takes {words}."] if words else []


def names_of(found: Mapping[str, Sequence[Project]]) -> dict[tuple[str, str], str]:
    """The names of projects, where they are known, by account and id: two clouds may call one id differently."""
    return {(account, project.id): project.name for account, projects in found.items() for project in projects}


def extent(spooled: Spool) -> str:
    """How much a spool holds."""
    return _words(spooled.count, spooled.projects, spooled.levels)


def _sum(extents: Sequence[Extent]) -> str:
    return _words(sum(one.groups for one in extents), len(extents), sum(one.project_level for one in extents))


def groups_of(one: Extent) -> str:
    """How many groups of a project; nothing where its own level is all that there is."""
    return "" if one.project_level and not one.groups else f"{one.groups:,}"


def _words(groups: int, projects: int, levels: int) -> str:
    level = f"the project level of {many(levels, 'project')}"
    if levels and not groups:
        return level
    words = f"{many(groups, 'protection group')} in {many(projects, 'project')}"
    return f"{words}, and of {level}" if levels else words
