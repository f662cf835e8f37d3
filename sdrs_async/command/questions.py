"""What is asked before a deletion, and the words for how much there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import nlargest
from urllib.parse import urlsplit

from sdrs_async.accounts import Account
from sdrs_async.command.floors import floor_words
from sdrs_async.command.spool import Extent, Spool
from sdrs_async.command.terminal import ask, say
from sdrs_async.listing import Project
from sdrs_async.render import wording
from sdrs_async.render.wording import many
from sdrs_async.report.speed import Floor
from sdrs_async.run import Finding

__all__ = ["about_found", "about_list", "confirmed", "extent", "names_of"]

_SHOWN = 10
_FOR_GOOD = "This cannot be undone."


async def confirmed(lines: Sequence[str]) -> bool:
    """Show all lines; the last one is the question. Whether the answer was yes."""
    *before, question = lines
    for line in before:
        say(line)
    return await ask(question)


def about_list(spooled: Spool, account: Account, floor: Floor) -> list[str]:
    """The question about a list of targets, and the least time that it takes, before."""
    host = urlsplit(account.endpoint).netloc
    return [*_takes(floor), f"Delete the failed tasks of {extent(spooled)} at {host}? {_FOR_GOOD}"]


def about_found(spooled: Spool, finding: Finding, accounts: Sequence[Account], floor: Floor) -> list[str]:
    """The question about what was found; before it: the largest projects of each account, what is missing, the time."""
    lines: list[str] = []
    names = names_of(finding.projects)
    for account in accounts:
        own = [one for one in spooled.extents() if one.account == account.name]
        lines.append(f"{account.name} at {urlsplit(account.endpoint).netloc}: {_sum(own)}")
        largest = nlargest(_SHOWN, own, key=lambda one: one.groups)
        lines += [f"{one.groups:>8,}  {one.project_id}  {names.get(one.project_id, '')}".rstrip() for one in largest]
        if len(own) > _SHOWN:
            lines.append(f"{'':>8}  and {many(len(own) - _SHOWN, 'more project')}")
    gaps, more = wording.unlisted(finding.report.to_dict())
    lines += [f"warning: not (wholly) listed: {name} ({gap.happened})" for gap in gaps for name in gap.names]
    lines += [f"warning: not (wholly) listed: {more}"] * bool(more)
    of = f"with {accounts[0].name}" if len(accounts) == 1 else f"of {len(accounts):,} accounts"
    return [*lines, *_takes(floor), f"Delete the failed tasks of {extent(spooled)} {of}? {_FOR_GOOD}"]


def _takes(floor: Floor) -> list[str]:
    words = floor_words(floor)
    return [f"This takes {words}."] if words else []


def names_of(found: Mapping[str, Sequence[Project]]) -> dict[str, str]:
    """The names of projects by their ids, where they are known."""
    return {project.id: project.name for projects in found.values() for project in projects}


def extent(spooled: Spool) -> str:
    """How much a spool holds."""
    return _words(spooled.count, spooled.projects, spooled.levels)


def _sum(extents: Sequence[Extent]) -> str:
    return _words(sum(one.groups for one in extents), len(extents), sum(one.project_level for one in extents))


def _words(groups: int, projects: int, levels: int) -> str:
    words = f"{many(groups, 'protection group')} in {many(projects, 'project')}"
    return f"{words}, and of the project level of {many(levels, 'project')}" if levels else words
