"""The projects that IAM lists: those of the fleet, and those that a client has to leave alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from sdrs_async.simulator.account import Account
from sdrs_async.simulator.ids import digest
from sdrs_async.simulator.state import Fleet

REGION = "eu-de"
_ELSEWHERE = "eu-nl"


class Project(NamedTuple):
    """One entry of the list. A name is that of the region, or starts with it and an underscore."""

    id: str
    name: str
    enabled: bool = True
    is_domain: bool = False

    @property
    def is_here(self) -> bool:
        """Whether the region of this server has it."""
        return self.name.partition("_")[0] == REGION

    def document(self, domain_id: str, url: str) -> dict[str, Any]:
        """As IAM shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "domain_id": None if self.is_domain else domain_id,
            "parent_id": None if self.is_domain else domain_id,
            "enabled": self.enabled,
            "is_domain": self.is_domain,
            "description": "",
            "links": {"self": f"{url}/v3/projects/{self.id}"},
        }


class Projects:
    """The fleet's projects in their order; with `decoys` after them what has no groups here: a project that is
    disabled, the account's own domain, `MOS` of the object store, and two projects of another region.
    """

    def __init__(self, fleet: Fleet, account: Account, seed: int, *, decoys: bool) -> None:
        # The built-in project has the name of the region, the others start with it.
        self.all = [
            Project(project_id, f"{REGION}_project{number}" if number else REGION)
            for number, project_id in enumerate(fleet.project_ids)
        ]
        if decoys:
            self.all += _decoys(account, seed)
        self._by_id = {project.id: project for project in self.all}
        self._by_name = {project.name: project for project in self.all}

    def get(self, project_id: str | None) -> Project | None:
        """The project with this id."""
        return self._by_id.get(project_id or "")

    def named(self, name: object) -> Project | None:
        """The project with this name."""
        return self._by_name.get(name) if isinstance(name, str) else None


def _decoys(account: Account, seed: int) -> list[Project]:
    def made_up(name: str, *, enabled: bool = True) -> Project:
        return Project(digest(seed, f"project {name}"), name, enabled)

    return [
        made_up(f"{REGION}_disabled", enabled=False),
        Project(account.domain_id, account.domain, is_domain=True),
        made_up("MOS"),
        made_up(_ELSEWHERE),
        made_up(f"{_ELSEWHERE}_x"),
    ]
