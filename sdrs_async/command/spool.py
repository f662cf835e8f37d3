"""Targets kept on disk, not in memory, each once: from a file, or as they were found."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import NamedTuple, Self

from sdrs_async.errors import ConfigError
from sdrs_async.models import ProjectLevel, Target

__all__ = ["BATCH", "Extent", "Spool"]

BATCH = 1000
"""How many targets are best stored at a time."""
_PAGE_ROWS = 100


class Extent(NamedTuple):
    """How much a spool has of one project: groups, and whether its own level is a target too."""

    account: str
    project_id: str
    groups: int
    project_level: bool


class Spool:
    """Distinct targets in a temporary database on disk, which is gone when this is closed or the process ends.

    `count` groups and `levels` project levels of `projects`; each project is of the account that brought it first.
    """

    def __init__(self) -> None:
        self.count = 0
        self.levels = 0
        self.projects = 0
        self.duplicates = 0
        # SQLite's own temporary file: it has no name from the start, so that nothing is left behind by a kill.
        self._db = sqlite3.connect("", isolation_level=None)
        # Nothing here outlives the process, so neither a journal nor a sync protects anything.
        for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -4000"):
            self._db.execute(f"PRAGMA {setting}")
        self._db.execute(
            "CREATE TABLE target (project TEXT, server_group TEXT, PRIMARY KEY (project, server_group)) WITHOUT ROWID"
        )
        self._db.execute(
            "CREATE TABLE project (id TEXT PRIMARY KEY, account TEXT, groups INTEGER, level INTEGER) WITHOUT ROWID"
        )
        self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the disk space back."""
        self._db.close()

    def fill(self, targets: Iterator[Target], account: str = "", *, project_level: bool = False) -> None:
        """Store all targets, and with `project_level` that of each of their projects; then `seal`.

        Exact repeats are counted in `duplicates`. Raises `ConfigError` when the disk is full.
        """
        while batch := list(islice(targets, BATCH)):
            self.add(batch, account)
        if project_level:
            with _storage():
                self.levels = self._db.execute("UPDATE project SET level = 1").rowcount
        self.seal()

    def add(self, targets: Sequence[Target | ProjectLevel], account: str) -> None:
        """Store some targets of an account. Raises `ConfigError` when the disk is full."""
        groups = [(t.project_id, t.server_group_id) for t in targets if isinstance(t, Target)]
        levels = [(t.project_id,) for t in targets if isinstance(t, ProjectLevel)]
        projects = {(t.project_id, account) for t in targets}
        with _storage():
            self._db.executemany("INSERT OR IGNORE INTO project VALUES (?, ?, 0, 0)", projects)
            added = self._db.executemany("INSERT OR IGNORE INTO target VALUES (?, ?)", groups).rowcount if groups else 0
            mark = "UPDATE project SET level = 1 WHERE id = ? AND level = 0"
            marked = self._db.executemany(mark, levels).rowcount if levels else 0
        self.count += added
        self.levels += marked
        self.duplicates += len(targets) - added - marked

    def seal(self) -> None:
        """All is stored. Raises `ConfigError` when the disk is full."""
        counted = "(SELECT count(*) FROM target WHERE target.project = project.id)"
        with _storage():
            self._db.execute(f"UPDATE project SET groups = {counted}")  # noqa: S608 - a constant
            self._db.execute("COMMIT")
            self.projects = self._db.execute("SELECT count(*) FROM project").fetchone()[0]

    def extents(self) -> Iterator[Extent]:
        """What there is of each project, in order of accounts and project ids."""
        with _storage():
            rows = self._db.execute("SELECT account, id, groups, level FROM project ORDER BY account, id")
            for account, project_id, groups, level in rows:
                yield Extent(account, project_id, groups, bool(level))

    def first(self) -> list[str]:
        """The first project's id, if there is one."""
        return [project_id for project_id, _ in islice(self.counts(), 1)]

    def counts(self) -> Iterator[tuple[str, int]]:
        """Each project with its number of distinct groups, in order of the project ids."""
        with _storage():
            yield from self._db.execute("SELECT id, groups FROM project ORDER BY id")

    def per_project(self, account: str | None = None) -> Mapping[str, Iterator[str | ProjectLevel]]:
        """A lazy source of group ids, and of the level, for each project of an account (`None`: of all).

        In order of the ids; each look-up starts from the beginning.
        """
        return _Sources(self, account)

    def targets_of(self, project_id: str, project_level: bool) -> Iterator[str | ProjectLevel]:
        """The project's own level if it is wanted, and its group ids, read in pages."""
        if project_level:
            yield ProjectLevel(project_id)
        page = "SELECT server_group FROM target WHERE project = ? AND server_group > ? ORDER BY server_group LIMIT ?"
        last = ""
        while True:
            with _storage():
                rows = self._db.execute(page, (project_id, last, _PAGE_ROWS)).fetchall()
            for (last,) in rows:
                yield last
            if len(rows) < _PAGE_ROWS:
                return


class _Sources(Mapping[str, Iterator[str | ProjectLevel]]):
    def __init__(self, spooled: Spool, account: str | None) -> None:
        self._spool = spooled
        self._levels = {
            extent.project_id: extent.project_level for extent in spooled.extents() if account in (None, extent.account)
        }

    def __getitem__(self, project_id: str) -> Iterator[str | ProjectLevel]:
        return self._spool.targets_of(project_id, self._levels[project_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self._levels)

    def __len__(self) -> int:
        return len(self._levels)


@contextmanager
def _storage() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ConfigError(
            f"the targets cannot be kept in a temporary file: {error} (TMPDIR names another place)"
        ) from None
