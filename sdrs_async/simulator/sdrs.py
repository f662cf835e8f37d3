"""The SDRS calls: the four of the task center, and the list of protection groups."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from sdrs_async.simulator.answers import Answer, document, sdrs_error
from sdrs_async.simulator.ids import dashed, digest
from sdrs_async.simulator.routes import Call
from sdrs_async.simulator.state import Fleet

__all__ = ["Sdrs"]

_NO_CONTENT = Answer(204)
_NO_GROUP = sdrs_error("SDRS.1013", "The protection group does not exist.")
_NO_PROJECT = sdrs_error("SDRS.0001", "The tenant id is not valid.")
_NO_JOB = sdrs_error("SDRS.0408", "The job is null.", 500)
_BAD_LIMIT = sdrs_error("SDRS.0221", "The value of limit must be more than 0 and less than 1000.")
_BAD_OFFSET = sdrs_error("SDRS.0222", "The value of offset must be 0 or more.")

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

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
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
        window = _window(wanted)
        if isinstance(window, Answer):
            return window
        group_id = wanted.get("server_group_id")
        cell = self._fleet.own_layer(project) if group_id is None else self._fleet.group(project, group_id)
        if cell is None:
            return _NO_GROUP
        filters = {name: wanted[name] for name in _FAILURE_FILTERS if name in wanted}
        found = [failure for failure in self._failures(cell, inner=group_id is not None) if _fits(failure, filters)]
        return document({"count": len(found[window]), "failure_jobs": found[window]})

    def _failures(self, cell: int, *, inner: bool) -> Iterator[dict[str, Any]]:
        for job in self._fleet.jobs(cell):
            kind = _INNER_KINDS[job % len(_INNER_KINDS)] if inner else _OWN_KIND
            job_type, failure_status, resource_type, error_code = kind
            job_id = self._fleet.job_id(job)
            yield {
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
        window = _window(wanted)
        if isinstance(window, Answer):
            return window
        filters = {field: wanted[name] for name, field in _GROUP_FILTERS.items() if name in wanted}
        named = wanted.get("name", "")
        ids = self._fleet.group_ids(self._fleet.project_ids[project])
        groups = (_group(group_id, number) for number, group_id in enumerate(ids))
        found = [group for group in groups if named in group["name"] and _fits(group, filters)]
        return document({"count": len(found), "server_groups": found[window]})

    def _get_group(self, project: int, call: Call, query: str) -> Answer:
        group_id = call.server_group_id or ""
        cell = self._fleet.group(project, group_id)
        if cell is None:
            return _NO_GROUP
        return document({"server_group": _group(group_id, cell % self._fleet.groups)})


def _fits(item: dict[str, Any], filters: dict[str, str]) -> bool:
    return all(item[name] == value for name, value in filters.items())


def _window(wanted: dict[str, str]) -> slice | Answer:
    """The page asked for. A limit of 1000 is taken as the text of the manual does, not as its error message."""
    limit, offset = _number(wanted.get("limit", "1000")), _number(wanted.get("offset", "0"))
    if limit is None or not 1 <= limit <= 1000:
        return _BAD_LIMIT
    return _BAD_OFFSET if offset is None else slice(offset, offset + limit)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() else None


def _group(group_id: str, number: int) -> dict[str, Any]:
    return {
        "id": group_id,
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
