"""The fleet that the server holds: projects, their protection groups, and the failed tasks that are still there."""

from __future__ import annotations

from functools import cached_property

from sdrs_async.simulator.ids import Numbered, dashed


class Fleet:
    """`projects` projects with `groups` protection groups each; a failed task is there until it is deleted.

    Failed tasks lie in two layers: those inside a group, and those of the groups themselves, which belong to the
    project. Each group, and each project's own layer, is a cell of `failed_tasks`. Groups are known by their number
    over the whole fleet, so that even a large one starts at once.
    """

    def __init__(self, projects: int, groups: int, failed_tasks: int, seed: int) -> None:
        if min(projects, groups, failed_tasks) < 0:
            raise ValueError("projects, groups and failed_tasks must be 0 or more")
        self.groups = groups
        self.failed_tasks = failed_tasks
        self._projects = Numbered(seed, "project", projects)
        self._groups = Numbered(seed, "group", projects * groups)
        self._jobs = Numbered(seed, "job", (projects * groups + projects) * failed_tasks)
        self.project_ids = [self._projects.id_of(number) for number in range(projects)]
        self.restore()

    def restore(self) -> None:
        """Every failed task is there again."""
        self._cleared = bytearray(self._groups.count + self._projects.count)
        self._removed: set[int] = set()
        self.remaining = self._groups.count * self.failed_tasks

    @cached_property
    def targets(self) -> list[tuple[str, str]]:
        """All pairs of project id and protection group id, in order."""
        return [
            (project_id, self.group_id(project, number))
            for project, project_id in enumerate(self.project_ids)
            for number in range(self.groups)
        ]

    def group_id(self, project: int, number: int) -> str:
        """The id of a project's group, 0 <= `number` < `groups`."""
        return dashed(self._groups.id_of(project * self.groups + number))

    def project(self, project_id: str) -> int | None:
        """The number of a project, `None` when there is none with this id."""
        return self._projects.number_of(project_id)

    def group(self, project: int, server_group_id: str) -> int | None:
        """The cell of a group of this project, `None` when the project has none with this id."""
        plain = server_group_id.replace("-", "")
        number = self._groups.number_of(plain)
        if number is None or dashed(plain) != server_group_id or number // self.groups != project:
            return None
        return number

    def own_layer(self, project: int) -> int:
        """The cell of the failures to create or delete a group of this project."""
        return self._groups.count + project

    def cell(self, project: int, server_group_id: str | None) -> int | None:
        """The cell of a group, or with `None` of the project's own layer."""
        return self.own_layer(project) if server_group_id is None else self.group(project, server_group_id)

    def jobs(self, cell: int) -> list[int]:
        """The numbers of the failed tasks that are left in a cell."""
        if self._cleared[cell]:
            return []
        first = cell * self.failed_tasks
        return [job for job in range(first, first + self.failed_tasks) if job not in self._removed]

    def job_id(self, job: int) -> str:
        """The id of a failed task: 32 hex digits."""
        return self._jobs.id_of(job)

    def clear(self, cell: int) -> None:
        """Delete all failed tasks of a cell."""
        if not self._cleared[cell]:
            self._count(cell, len(self.jobs(cell)))
            self._cleared[cell] = 1

    def remove(self, project: int, job_id: str) -> bool:
        """Delete one failed task of this project, in either layer. False: there is none (any more) with this id."""
        job = self._jobs.number_of(job_id)
        if job is None:
            return False
        cell = job // self.failed_tasks
        if self._project_of(cell) != project or job not in self.jobs(cell):
            return False
        self._removed.add(job)
        self._count(cell, 1)
        return True

    def _project_of(self, cell: int) -> int:
        return cell // self.groups if cell < self._groups.count else cell - self._groups.count

    def _count(self, cell: int, gone: int) -> None:
        if cell < self._groups.count:
            self.remaining -= gone
