"""What to look for in an account."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sdrs_async.errors import check, check_types

PROJECT_ID = re.compile(r"[0-9a-f]{32}")
"""The form of a project's id."""
_PROJECTS = "a list of ids, names or patterns, not empty, or None, which selects all"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which projects of an account to look for; all their protection groups are targets.

    `projects`: ids, names, or patterns with `*`, `?` and `[...]` for either; `None`: all that the account can use. An
    entry that is an id, or of the form of one, means that project only; one that is a name means the project of that
    very name, and where several have it (each domain has names of its own) nothing is sent for any of them, unless
    another entry is its id; only what is neither is a pattern, of names or, where no name fits, of ids. All are
    compared letter for letter. An entry that means no project, or none for sure, is `rejected` in the report's
    `discovery`.
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
        check(
            bool(entries) and all(isinstance(entry, str) and entry for entry in entries), "projects", _PROJECTS, given
        )
        object.__setattr__(self, "projects", entries)

    def ids(self) -> list[str] | None:
        """The projects where each is given by its id, so that nobody has to be asked; else `None`."""
        if self.projects is None or not all(PROJECT_ID.fullmatch(entry) for entry in self.projects):
            return None
        return list(dict.fromkeys(self.projects))
