"""What is to be cleaned: a list of targets, projects to look into, or what a fleet file names, all of it or a list."""

from __future__ import annotations

from dataclasses import dataclass

from sdrs_async.accounts.selection import Selection
from sdrs_async.errors import ConfigError

__all__ = ["Wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One of the ways to select. `projects`: what `--project` was given; `targets`, `fleet`: paths.

    `any_ids`: of the list, also such as are not of the service's form.

    With both `targets` and `fleet`, the targets of the list are those of the fleet's accounts, and what the fleet file
    selects is left alone.
    """

    targets: str | None = None
    projects: tuple[str, ...] = ()
    all_projects: bool = False
    fleet: str | None = None
    project_level: bool = False
    any_ids: bool = False

    def check(self) -> None:
        """Raise `ConfigError` unless exactly one way was taken."""
        ways = {
            "--targets": self.targets is not None,
            "--project": bool(self.projects),
            "--all-projects": self.all_projects,
            "--fleet": self.fleet is not None,
        }
        chosen = [flag for flag, taken in ways.items() if taken]
        if not chosen:
            raise ConfigError(f"nothing is selected: use one of {', '.join(ways)}")
        if len(chosen) > 1 and chosen != ["--targets", "--fleet"]:
            raise ConfigError(f"{' and '.join(chosen)} do not go together: use one of {', '.join(ways)}")
        if self.any_ids and self.targets is None:
            raise ConfigError("--any-ids is about the ids of a list: use it with --targets")
        if "" in self.projects:
            raise ConfigError("--project: the project is empty")
        if self.fleet == "":
            raise ConfigError("--fleet: the path is empty")

    def selection(self) -> Selection:
        """What to look for in the one account."""
        return Selection(None if self.all_projects else self.projects, self.project_level)
