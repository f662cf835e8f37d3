"""The SDRS calls: the four of the task center, and the list of protection groups."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from sdrs_async.simulator.answers import Answer, document, sdrs_error
from sdrs_async.simulator.ids import dashed, digest
from sdrs_async.simulator.paging import Paging
from sdrs_async.simulator.routes import Call
from sdrs_async.simulator.state import Fleet

_NO_CONTENT = Answer(204)
_NO_GROUP = sdrs_error("SDRS.1013", "The protection group does not exist.")
_NO_PROJECT = sdrs_error("SDRS.0001", "The tenant id is not valid.")
_NO_JOB = sdrs_error("SDRS.0408", "The job is null.", 500)

_FAILURE_FILTERS = ("failure_status", "resource_name", "resource_type")
_GROUP_FILTERS = {"status": "status", "availability_zone": "source_availability_zone"}
# job_type, failure_status, resource_type, error_code: one of the project's own layer, then those inside a group.
_OWN_KIND = ("createProtectionGroupNoCG", "createFail", "server_groups", "SDRS.0305")
_INNER_KINDS = (
    ("createProtectedInstanceNoCG", "createFail", "protected_instances", "SDRS.1358"),
    ("createReplicationPairNoCG", "createFail", "replications", "EVS.2024"),
    ("expandReplicationPairNew", "expandFail", "replications", "SDRS.1820"),
)
_EPOCH = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


class Sdrs:
    """Answers the SDRS calls from the state of a fleet. The work is done at once, before the answer is given."""

    def __init__(self, fleet: Fleet, paging: Paging) -> None:
        self._fleet = fleet
        self._paging = paging
        self._calls = {
            "delete_group_failures": self._delete_group_failures,
            "delete_project_failures": self._delete_project_failures,
            "delete_failure": self._delete_failure,
            "list_failures": self._list_failures,
            "list_groups": self._list_groups,
            "get_group": self._get_group,
        }

    def answer(self, call: Call, query: str) -> Answer:
        """Do what is asked for and answer it."""
        project = self._fleet.project(call.project_id or "")
        return _NO_PROJECT if project is None else self._calls[call.route](project, call, query)

    def _delete_group_failures(self, project: int, call: Call, query: str) -> Answer:
        cell = self._fleet.group(project, call.server_group_id or "")
        if cell is None:
            return _NO_GROUP
        self._fleet.clear(cell)
        return _NO_CONTENT

    def _delete_project_failures(self, project: int, call: Call, query: str) -> Answer:
        self._fleet.clear(self._fleet.own_layer(project))
        return _NO_CONTENT

    def _delete_failure(self, project: int, call: Call, query: str) -> Answer:
        return _NO_CONTENT if self._fleet.remove(project, call.job_id or "") else _NO_JOB

    def _list_failures(self, project: int, call: Call, query: str) -> Answer:
        """One layer: a group's where `server_group_id` names it, else the project's own. `count` is the page's."""
        wanted = dict(parse_qsl(query, keep_blank_values=True))
        window = self._paging.window(wanted)
        if isinstance(window, Answer):
            return window
        group_id = wanted.get("server_group_id")
        cell = self._fleet.cell(project, group_id)
        if cell is None:
            return _NO_GROUP
        inner, jobs = group_id is not None, self._fleet.jobs(cell)
        filters = {name: wanted[name] for name in _FAILURE_FILTERS if name in wanted}
        if filters:
            jobs = [job for job in jobs if _fits(self._failure(job, inner=inner), filters)]
        page = [self._failure(job, inner=inner) for job in jobs[window]]
        return document({"count": self._paging.count(len(page), len(page)), "failure_jobs": page})

    def _failure(self, job: int, *, inner: bool) -> dict[str, Any]:
        kind = _INNER_KINDS[job % len(_INNER_KINDS)] if inner else _OWN_KIND
        job_type, failure_status, resource_type, error_code = kind
        job_id = self._fleet.job_id(job)
        return {
            "job_id": job_id,
            "job_type": job_type,
            "job_status": "FAIL",
            "failure_status": failure_status,
            "resource_id": dashed(digest(0, f"resource {job_id}")),
            "resource_name": f"{resource_type}-{job:06d}",
            "resource_type": resource_type,
            "begin_time": f"{_EPOCH + timedelta(minutes=job):%Y-%m-%dT%H:%M:%S}.000Z",
            "error_code": error_code,
            "fail_reason": "The operation failed.",
        }

    def _list_groups(self, project: int, call: Call, query: str) -> Answer:
        """The groups that match, a page of them; `count` is that of all that match."""
        wanted = dict(parse_qsl(query, keep_blank_values=True))
        window = self._paging.window(wanted)
        if isinstance(window, Answer):
            return window
        filters = {field: wanted[name] for name, field in _GROUP_FILTERS.items() if name in wanted}
        found: Sequence[int] = range(self._fleet.groups)
        if filters or wanted.get("name"):
            found = [number for number in found if _matches(_group(number), wanted.get("name", ""), filters)]
        # Put together from texts that all projects share: a large fleet is listed by the hundred thousand.
        numbers = found[window]
        page = ", ".join(f'{{"id": "{self._fleet.group_id(project, number)}", {_tail(number)}' for number in numbers)
        count = self._paging.count(len(found), len(numbers))
        return Answer(200, f'{{"count": {count}, "server_groups": [{page}]}}'.encode())

    def _get_group(self, project: int, call: Call, query: str) -> Answer:
        group_id = call.server_group_id or ""
        cell = self._fleet.group(project, group_id)
        if cell is None:
            return _NO_GROUP
        return document({"server_group": {"id": group_id, **_group(cell % self._fleet.groups)}})


def _fits(item: dict[str, Any], filters: dict[str, str]) -> bool:
    return all(item[name] == value for name, value in filters.items())


def _matches(group: dict[str, Any], name: str, filters: dict[str, str]) -> bool:
    return name in group["name"] and _fits(group, filters)


@lru_cache(maxsize=8192)
def _tail(number: int) -> str:
    """A group's JSON after its id."""
    return json.dumps(_group(number)).removeprefix("{")


def _group(number: int) -> dict[str, Any]:
    """All of a group but its id: the same in every project."""
    return {
        "name": f"group-{number:04d}",
        "description": "",
        "status": "protected" if number % 4 == 3 else "available",
        "progress": 0,
        "protected_status": None,
        "replication_status": None,
        "health_status": None,
        "source_availability_zone": "eu-de-01",
        "target_availability_zone": "eu-de-02",
        "priority_station": "source",
        "source_vpc_id": dashed(digest(0, "source vpc")),
        "target_vpc_id": dashed(digest(0, "target vpc")),
        "test_vpc_id": None,
        "domain_id": dashed(digest(0, "active-active domain")),
        "domain_name": "domain_001",
        "dr_type": "migration",
        "server_type": "ECS",
        "protection_type": None,
        "replication_model": None,
        "protected_instance_num": 0,
        "replication_num": 0,
        "disaster_recovery_drill_num": 0,
        "created_at": f"{_EPOCH + timedelta(hours=number):%Y-%m-%d %H:%M:%S}.000",
        "updated_at": f"{_EPOCH + timedelta(hours=number):%Y-%m-%d %H:%M:%S}.000",
    }
