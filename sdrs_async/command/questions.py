"""What is asked before a deletion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import nlargest
from urllib.parse import urlsplit

from sdrs_async.cleanup.plan import Plan
from sdrs_async.command.streams import ask, say
from sdrs_async.formats import wording
from sdrs_async.formats.plan_text import amount, extent, floor_words, groups_of
from sdrs_async.formats.wording import many
from sdrs_async.report.discovery import in_words

_SHOWN = 10
_FOR_GOOD = "This cannot be undone."


async def confirmed(lines: Sequence[str]) -> bool:
    """Show all lines; the last one is the question. Whether the answer was yes."""
    *before, question = lines
    for line in before:
        say(line)
    return await ask(question)


def about(plan: Plan) -> list[str]:
    """The question whether to carry out a plan.

    Before it: what each account has, of a list where there are several; what is missing; the least time.
    """
    accounts, is_list = plan.accounts, plan.finding is None
    where = f"at {urlsplit(accounts[0].endpoint).netloc}" if is_list else f"with {accounts[0].name}"
    where = where if len(accounts) == 1 else f"of {len(accounts):,} accounts"
    lines = [] if is_list and len(accounts) == 1 else [*_of_accounts(plan)]
    lines += _missing(plan)
    if words := floor_words(plan.floor()):
        lines.append(f"This takes {words}.")
    return [*lines, f"Delete the failed tasks of {extent(plan)} {where}? {_FOR_GOOD}"]


def _missing(plan: Plan) -> Iterator[str]:
    """What could not be listed, and what was left out."""
    document = plan.report.to_dict()
    gaps, more = wording.unlisted(document)
    for gap in gaps:
        yield from (f"warning: not (wholly) listed: {name} ({gap.happened})" for name in gap.names)
    if more:
        yield f"warning: not (wholly) listed: {more}"
    if left_out := wording.left_out_reasons(document["discovery"]):
        yield f"left out: {many(left_out.total(), 'project')} ({in_words(left_out)})"


def _of_accounts(plan: Plan) -> Iterator[str]:
    """How much each account has, and its largest projects."""
    for account in plan.accounts:
        own = list(plan.by_project(account.name))
        sums = sum(one.groups for one in own), len(own), sum(one.project_level for one in own)
        yield f"{account.name} at {urlsplit(account.endpoint).netloc}: {amount(*sums)}"
        for one in nlargest(_SHOWN, own, key=lambda one: one.groups):
            yield f"{groups_of(one):>8}  {one.project_id}  {plan.names.get((one.account, one.project_id), '')}".rstrip()
        if len(own) > _SHOWN:
            yield f"{'':>8}  and {many(len(own) - _SHOWN, 'more project')}"
