"""What an account has: its projects and their protection groups, found while the run goes on."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from fnmatch import fnmatchcase

import anyio

from sdrs_async.accounts.account import Account
from sdrs_async.accounts.selection import PROJECT_ID, Selection
from sdrs_async.cloud import events
from sdrs_async.cloud.answers import visible
from sdrs_async.cloud.calls import PAGE, check_id
from sdrs_async.cloud.listing import Ask, ListingError, Project, group_ids, projects
from sdrs_async.engine.intake import Budget, Intake, Source, share
from sdrs_async.engine.users import User
from sdrs_async.models import ProjectLevel, Reply, Verdict
from sdrs_async.report import Ledger, Unlisted

log = logging.getLogger("sdrs_async")

# Ids of groups in hand at a time, over all projects: each may hold the rest of one page, and the next one.
_IN_HAND = 100_000
# More requests than one for so many deletions would be felt.
_SMALLEST_PAGE = 100

# Names of regions that are told of the projects left out; of a name that is none anything may stand before its `_`.
_REGIONS = 10
_LONGEST_REASON = 100
# Projects of one name that are told by their ids.
_NAMESAKES = 5

_PATTERN = re.compile(r"[*?[]")


class Discovery:
    """Reads the targets of a selection, each project by itself. What cannot be listed is noted in the report.

    `found`: the projects, as far as they are known by now; `left_out`: how many others there are, by the reason.
    """

    def __init__(
        self, account: Account, user: User, selection: Selection, *, ask: Ask, report: Ledger, read_ahead: int
    ) -> None:
        self.account = account
        self.found: list[Project] = []
        self.left_out: Counter[str] = Counter()
        self._user = user
        self._selection = selection
        self._ask = ask
        self._report = report
        self._read_ahead = read_ahead
        self._page = PAGE

    async def read(self, intake: Intake) -> None:
        """Give the groups of each project to the intake as their pages come."""
        try:
            self.found.extend(await self._projects())
        except ListingError as error:
            self._note(None, error.reply)
            return
        self._report.discovery.add_listed(0, len(self.found))
        size = share(self._read_ahead, len(self.found))
        self._page = max(_SMALLEST_PAGE, min(PAGE, _IN_HAND // (2 * len(self.found) or 1)))
        async with anyio.create_task_group() as tasks:
            for project in self.found:
                tasks.start_soon(self._read_project, project, Budget(size), intake)

    async def _projects(self) -> list[Project]:
        ids = self._selection.ids()
        if ids is not None:
            return [Project(check_id("project_id", project_id), "") for project_id in ids]
        chosen = self._chosen([project async for project in projects(self._ask)])
        found = [project for project, is_named in chosen.items() if not self._leaves_out(project, is_named)]
        _sum_up(self.left_out)
        self._report.discovery.add_left_out(self.account.name, self.left_out)
        return found

    def _leaves_out(self, project: Project, is_named: bool) -> bool:
        """Whether nothing is looked for in it. Noted where it is in doubt, or was asked for by its id or name."""
        reason = project.why_left_out(self.account.region)
        if reason is None:
            return False
        shown_reason = "its entry in the list cannot be relied on" if project.doubt else reason
        self.left_out[shown_reason[:_LONGEST_REASON]] += 1
        shown = visible(project.id), visible(project.name)
        log.info("%s: project %s (%s) is left out: %s", self._user.called, *shown, reason)
        if is_named or project.doubt:
            self._note(project.id or None, Reply(Verdict.REJECTED, message=f"left out: {reason}"))
        return True

    def _chosen(self, every: Sequence[Project]) -> dict[Project, bool]:
        """Those that the selection means, and whether one of its entries is the id or the name of it.

        What it names and nobody has, or several have, is noted.
        """
        if self._selection.projects is None:
            return dict.fromkeys(every, False)
        known = _Known(every)
        named, fitting, unclear = set[Project](), set[Project](), set[Project]()
        for entry in dict.fromkeys(self._selection.projects):
            its = known.named(entry)
            patterned = () if its else known.fitting(entry)
            (named if len(its) < 2 else unclear).update(its)
            fitting.update(patterned)
            if len(its) > 1 or not (its or patterned):
                why = _namesakes(its) if its else _nobody(entry, len(every))
                self._note(entry, Reply(Verdict.REJECTED, message=why))
        meant = named | (fitting - unclear)
        return {project: project in named for project in every if project in meant}

    async def _read_project(self, project: Project, budget: Budget, intake: Intake) -> None:
        source = Source(self._targets(project), budget, self._user, project.id)
        try:
            await source.read(intake)
        except ListingError as error:
            self._note(project.id, error.reply)

    async def _targets(self, project: Project) -> AsyncIterator[str | ProjectLevel]:
        if self._selection.project_level:
            yield ProjectLevel(project.id)
        async with aclosing(group_ids(self._ask, project.id, self._page)) as found:
            async for group_id in found:
                self._report.discovery.add_listed(1)
                yield group_id

    def _note(self, project_id: str | None, reply: Reply) -> None:
        if reply.verdict is Verdict.UNSETTLED:  # the run was interrupted, and says so
            return
        events.unlisted(project_id, self._user.called, reply)
        named = None if project_id is None else visible(project_id)
        self._report.discovery.add(
            Unlisted(named, self.account.name, reply.verdict, reply.status_code, reply.error_code, reply.message)
        )


def _sum_up(reasons: Counter[str]) -> None:
    """Of many regions keep those with the most projects by their names, and the others as one sum."""
    regions = [reason for reason, _ in reasons.most_common() if reason.startswith("of region ")]
    for reason in regions[_REGIONS:]:
        reasons["of other regions"] += reasons.pop(reason)


def _nobody(entry: str, count: int) -> str:
    fits = "fits this pattern" if _PATTERN.search(entry) else "has this id or name"
    return f"no project that the account may use ({count:,} in all) {fits}, letter for letter"


def _namesakes(its: Sequence[Project]) -> str:
    ids = [f"{visible(one.id)}{'' if one.enabled else ' (disabled)'}" for one in its[:_NAMESAKES]]
    ids += [f"{len(its) - _NAMESAKES:,} more"] * (len(its) > _NAMESAKES)
    listed = f"{', '.join(ids[:-1])} and {ids[-1]}"
    return f"{len(its):,} projects have this name, {listed}: give the id of the one that is meant"


class _Known:
    """What entries of a selection mean among the projects of an account."""

    def __init__(self, every: Sequence[Project]) -> None:
        self._every = every
        self._by_id = {project.id: project for project in every}
        self._by_name: defaultdict[str, list[Project]] = defaultdict(list)
        for project in every:
            self._by_name[project.name].append(project)

    def named(self, entry: str) -> list[Project]:
        """The project with this id; without one those of this name, of which there is none in the form of an id.

        A domain is no project: it answers to a name that only it has, to be told why it is left out.
        """
        if project := self._by_id.get(entry):
            return [project]
        its = [] if PROJECT_ID.fullmatch(entry) else self._by_name.get(entry, [])
        return [project for project in its if not project.is_domain] or its[:1]

    def fitting(self, pattern: str) -> list[Project]:
        """Those whose name fits a pattern; only without any those whose id does: `*de*` is no part of an id."""
        if PROJECT_ID.fullmatch(pattern):
            return []
        by_name = [project for project in self._every if fnmatchcase(project.name, pattern)]
        return by_name or [project for project in self._every if fnmatchcase(project.id, pattern)]
