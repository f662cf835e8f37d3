"""Targets kept on disk, not in memory, each once for each account: from a file, or as they were found."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import NamedTuple

from sdrs_async.errors import ConfigError
from sdrs_async.formats.wording import printable
from sdrs_async.models import ProjectLevel, Target

BATCH = 1000
"""How many targets are best stored at a time."""
_PAGE_ROWS = 100

_TABLES = (
    "target (account INTEGER, project TEXT, server_group TEXT, PRIMARY KEY (account, project, server_group))",
    "project (account INTEGER, id TEXT, groups INTEGER, level INTEGER, PRIMARY KEY (account, id))",
    "neighbour (account INTEGER, earlier INTEGER, PRIMARY KEY (account, earlier))",
)
# What an earlier account at the same endpoint has too.
_GROUPS_OF_OTHERS = """DELETE FROM target WHERE EXISTS (
    SELECT 1 FROM neighbour JOIN target AS other ON other.account = neighbour.earlier
    WHERE neighbour.account = target.account AND other.project = target.project
    AND other.server_group = target.server_group)"""
_LEVELS_OF_OTHERS = """UPDATE project SET level = 0 WHERE level = 1 AND EXISTS (
    SELECT 1 FROM neighbour JOIN project AS other ON other.account = neighbour.earlier
    WHERE neighbour.account = project.account AND other.id = project.id AND other.level = 1)"""
_COUNT = """UPDATE project SET groups = (
    SELECT count(*) FROM target WHERE target.account = project.account AND target.project = project.id)"""

Owned = tuple[str, Target | ProjectLevel]
"""A target after the name of its account."""


class Extent(NamedTuple):
    """How much there is of one project: groups, and whether its own level is a target too."""

    account: str
    project_id: str
    groups: int
    project_level: bool


class Origin(NamedTuple):
    """The endpoint that a list names for an account, and where: the file, and the place in it, like `line 3`."""

    endpoint: str
    source: str
    place: str

    def check(self, account: str, endpoint: str) -> None:
        """Raise `ConfigError` unless the account is at this endpoint: elsewhere the same ids may be other groups."""
        if endpoint != self.endpoint:
            raise ConfigError(
                f"{self._of(account)}, and in this run that account is at {endpoint}, where the same ids may be "
                "others: run with the endpoint that the list came from, or remove endpoint from it"
            )

    def check_same(self, account: str, other: Origin) -> None:
        """Raise `ConfigError` when an earlier line of the list names another endpoint for the account."""
        if other.endpoint != self.endpoint:
            raise ConfigError(
                f"{self._of(account)}, but {other.place} at {other.endpoint:.100}: make a list for each endpoint"
            )

    def _of(self, account: str) -> str:
        return f"{self.source}, {self.place}: is a target of account {printable(account)} at {self.endpoint:.100}"


class Spool(AbstractContextManager["Spool"]):
    """Distinct targets in a temporary database on disk, which is gone when this is closed or the process ends.

    `groups` protection groups and `levels` project levels of `projects`. The same project id with two accounts is two
    projects, since their endpoints may be two clouds; `unite` knows the endpoints. Accounts are in the order of
    `accounts`, then in that in which they bring targets. `origins`: by the accounts' names, where a list says that they
    are.
    """

    def __init__(self, accounts: Iterable[str] = ()) -> None:
        self.origins: dict[str, Origin] = {}
        self.groups = 0
        self.levels = 0
        self.projects = 0
        self.duplicates = 0
        self.closed = False
        self._numbers = {account: number for number, account in enumerate(dict.fromkeys(accounts))}
        # SQLite's own temporary file: it has no name from the start, so that nothing is left behind by a kill.
        self._db = sqlite3.connect("", isolation_level=None)
        # Nothing here outlives the process, so neither a journal nor a sync protects anything.
        for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -4000"):
            self._db.execute(f"PRAGMA {setting}")
        for table in _TABLES:
            self._db.execute(f"CREATE TABLE {table} WITHOUT ROWID")
        self._db.execute("BEGIN")

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the disk space back."""
        self.closed = True
        self._db.close()

    def fill(self, targets: Iterator[Owned], *, project_level: bool = False) -> None:
        """Store all targets, and with `project_level` that of each of their projects; then `seal`.

        Exact repeats are counted in `duplicates`. Raises `ConfigError` when the disk is full.
        """
        while batch := list(islice(targets, BATCH)):
            self.add(batch)
        if project_level:
            with _storage():
                self.levels = self._db.execute("UPDATE project SET level = 1").rowcount
        self.seal()

    def add(self, targets: Sequence[Owned]) -> None:
        """Store some targets. Raises `ConfigError` when the disk is full."""
        owned = [(self._number(account), target) for account, target in targets]
        groups = [(number, t.project_id, t.server_group_id) for number, t in owned if isinstance(t, Target)]
        levels = [(number, t.project_id) for number, t in owned if isinstance(t, ProjectLevel)]
        projects = {(number, t.project_id) for number, t in owned}
        with _storage():
            self._db.executemany("INSERT OR IGNORE INTO project VALUES (?, ?, 0, 0)", projects)
            added = self._changed("INSERT OR IGNORE INTO target VALUES (?, ?, ?)", groups)
            marked = self._changed("UPDATE project SET level = 1 WHERE account = ? AND id = ? AND level = 0", levels)
        self.groups += added
        self.levels += marked
        self.duplicates += len(targets) - added - marked

    def _number(self, account: str) -> int:
        return self._numbers.setdefault(account, len(self._numbers))

    def _changed(self, statement: str, rows: Sequence[tuple[object, ...]]) -> int:
        return self._db.executemany(statement, rows).rowcount if rows else 0

    def seal(self) -> None:
        """All is stored. Raises `ConfigError` when the disk is full."""
        with _storage():
            self._db.execute(_COUNT)
            self._db.execute("COMMIT")
            self.projects = self._db.execute("SELECT count(*) FROM project").fetchone()[0]

    def unite(self, endpoints: Mapping[str, str]) -> None:
        """Of accounts at one endpoint, the first keeps what several of them have; the others' are `duplicates`.

        `endpoints`: by the names of the accounts; one that is not in it shares with none. To be called once, after
        `seal`. Raises `ConfigError` when the disk is full, and for an account that is not where its list says.
        """
        for name, origin in self.origins.items():
            origin.check(name, endpoints.get(name, origin.endpoint))
        places = [(self._numbers[name], place) for name, place in endpoints.items() if name in self._numbers]
        pairs = [(own, other) for own, place in places for other, same in places if same == place and other < own]
        if not pairs:
            return
        with _storage():
            self._db.executemany("INSERT INTO neighbour VALUES (?, ?)", pairs)
            groups = self._db.execute(_GROUPS_OF_OTHERS).rowcount
            levels = self._db.execute(_LEVELS_OF_OTHERS).rowcount
            self._db.execute(_COUNT)
            self._db.execute("DELETE FROM project WHERE groups = 0 AND level = 0")
            self.projects = self._db.execute("SELECT count(*) FROM project").fetchone()[0]
        self.groups -= groups
        self.levels -= levels
        self.duplicates += groups + levels

    def endpoints(self) -> dict[str, str]:
        """Where the list says that accounts are, by the names of those of which it says that."""
        return {name: origin.endpoint for name, origin in self.origins.items()}

    def accounts(self) -> list[str]:
        """The names of those that have targets here, in order."""
        with _storage():
            rows = self._db.execute("SELECT DISTINCT account FROM project").fetchall()
        found = {number for (number,) in rows}
        return [account for account, number in self._numbers.items() if number in found]

    def first_projects(self) -> dict[str, list[str]]:
        """By the names of those that have any, the id of a project."""
        return {account: [next(self.extents(account)).project_id] for account in self.accounts()}

    def extents(self, account: str | None = None) -> Iterator[Extent]:
        """What there is of each project, in order of accounts and project ids; of one account where it is named."""
        rows = "SELECT id, groups, level FROM project WHERE account = ? ORDER BY id"
        for name, number in self._numbers.items():
            if account in (None, name):
                with _storage():
                    for project_id, groups, level in self._db.execute(rows, (number,)):
                        yield Extent(name, project_id, groups, bool(level))

    def per_project(self, account: str) -> Mapping[str, Iterator[str | ProjectLevel]]:
        """A lazy source of group ids, and of the level, for each project of an account.

        In order of the ids; each look-up starts from the beginning.
        """
        return _Sources(self, account)

    def targets_of(self, account: str, project_id: str, project_level: bool) -> Iterator[str | ProjectLevel]:
        """The project's own level if it is wanted, and its group ids, read in pages."""
        if project_level:
            yield ProjectLevel(project_id)
        page = (
            "SELECT server_group FROM target WHERE account = ? AND project = ? AND server_group > ? "
            "ORDER BY server_group LIMIT ?"
        )
        number, last = self._numbers[account], ""
        while True:
            with _storage():
                rows = self._db.execute(page, (number, project_id, last, _PAGE_ROWS)).fetchall()
            for (last,) in rows:
                yield last
            if len(rows) < _PAGE_ROWS:
                return


class _Sources(Mapping[str, Iterator[str | ProjectLevel]]):
    def __init__(self, spooled: Spool, account: str) -> None:
        self._spool = spooled
        self._account = account
        self._levels = {extent.project_id: extent.project_level for extent in spooled.extents(account)}

    def __getitem__(self, project_id: str) -> Iterator[str | ProjectLevel]:
        return self._spool.targets_of(self._account, project_id, self._levels[project_id])

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
