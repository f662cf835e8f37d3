"""What an account has: its projects and their protection groups, found while the run goes on."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from fnmatch import fnmatchcase

import anyio

from sdrs_async.accounts import Account
from sdrs_async.arguments import check, check_types, is_text
from sdrs_async.errors import ConfigError, ListingError
from sdrs_async.listing import Ask, Project, group_ids, projects
from sdrs_async.models import ProjectLevel, Reply, Verdict
from sdrs_async.reading import Budget, Intake, Source, share
from sdrs_async.report import Report, Unlisted
from sdrs_async.users import User
from sdrs_async.wire import PAGE, check_id

__all__ = ["Discovery", "Selection"]

log = logging.getLogger("sdrs_async")

# Ids of groups in hand at a time, over all projects: each may hold the rest of one page, and the next one.
_IN_HAND = 100_000
# More requests than one for so many deletions would be felt.
_SMALLEST_PAGE = 100

_PROJECTS = "a list of ids, names or patterns, not empty, or None, which selects all"
_PROJECT_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which projects of an account to look for; all their protection groups are targets.

    `projects`: ids, names, or patterns with `*`, `?` and `[...]` for either; `None`: all that the account can use.
    `project_level`: delete the failed tasks of the projects' own level too, one `ProjectLevel` each.
    """

    projects: Sequence[str] | None = None
    project_level: bool = False

    def __post_init__(self) -> None:
        check_types(self, project_level=(bool,))
        if self.projects is None:
            return
        given: object = self.projects
        entries = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else ()
        check(bool(entries) and all(is_text(entry) for entry in entries), "projects", _PROJECTS, given)
        object.__setattr__(self, "projects", entries)

    def ids(self) -> list[str] | None:
        """The projects where each is given by its id, so that nobody has to be asked; else `None`."""
        if self.projects is None or not all(_PROJECT_ID.fullmatch(entry) for entry in self.projects):
            return None
        return list(dict.fromkeys(self.projects))


class Discovery:
    """Reads the targets of a selection, each project by itself. What cannot be listed is noted in the report.

    `found`: the projects, as far as they are known by now; `left_out`: how many others there are, by the reason.
    """

    def __init__(
        self, account: Account, user: User, selection: Selection, *, ask: Ask, report: Report, read_ahead: int
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
        self._report.add_listed(0, len(self.found))
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
        return [project for project in chosen if not self._leaves_out(project)]

    def _leaves_out(self, project: Project) -> bool:
        """Whether the service has nothing of it. Noted where it was asked for by its id or name."""
        reason = project.why_left_out(self.account.region)
        if reason is None:
            return False
        self.left_out[reason] += 1
        log.info("%s: project %s (%s) is left out: %s", self.account.name, project.id, project.name, reason)
        if {project.id, project.name} & set(self._selection.projects or ()):
            self._note(project.id, Reply(Verdict.REJECTED, message=f"left out: {reason}"))
        return True

    def _chosen(self, every: Sequence[Project]) -> list[Project]:
        """Those that the selection names; what it names and nobody has is noted."""
        entries = self._selection.projects
        if entries is None:
            return list(every)
        for entry in entries:
            if not any(_fits(project, entry) for project in every):
                message = "the account has no project of this id or name"
                self._note(entry, Reply(Verdict.GONE, message=message))
        return [project for project in every if any(_fits(project, entry) for entry in entries)]

    async def _read_project(self, project: Project, budget: Budget, intake: Intake) -> None:
        source = Source(self._targets(project), budget, self._user, project.id)
        try:
            await source.read(intake)
        except ListingError as error:
            self._note(project.id, error.reply)
        except ConfigError as error:  # an id that the service itself has given
            self._note(project.id, Reply(Verdict.REJECTED, message=str(error)))

    async def _targets(self, project: Project) -> AsyncIterator[str | ProjectLevel]:
        if self._selection.project_level:
            yield ProjectLevel(project.id)
        async with aclosing(group_ids(self._ask, project.id, self._page)) as found:
            async for group_id in found:
                self._report.add_listed(1)
                yield group_id

    def _note(self, project_id: str | None, reply: Reply) -> None:
        if reply.verdict is Verdict.UNSETTLED:  # the run was interrupted, and says so
            return
        self._report.add_unlisted(
            Unlisted(project_id, self.account.name, reply.verdict, reply.status_code, reply.error_code, reply.message)
        )


def _fits(project: Project, entry: str) -> bool:
    return fnmatchcase(project.id, entry) or fnmatchcase(project.name, entry)
