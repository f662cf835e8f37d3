"""The simulator's state, listing, credentials, log and inspection, over real sockets by plain aiohttp."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from sdrs_async.simulator import Simulator
from sdrs_async.simulator.delivery import Latency
from sdrs_async.simulator.state import Fleet

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

UNKNOWN_GROUP = "00000000-0000-0000-0000-000000000000"


class Caller:
    """A simulator and a session that carries its token."""

    def __init__(self, sim: Simulator, session: aiohttp.ClientSession) -> None:
        self.sim = sim
        self.session = session

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Status and JSON body, `None` where there is no body."""
        async with self.session.request(method, self.sim.url + path, **options) as answer:
            body = await answer.read()
            assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])
            return answer.status, json.loads(body) if body else None

    async def listed(self, project_id: str, group_id: str | None = None, **wanted: str) -> list[dict[str, str]]:
        """The failed tasks of one layer."""
        query = wanted | ({"server_group_id": group_id} if group_id else {})
        status, body = await self.call("GET", f"/v1/{project_id}/task-center/failure-jobs", params=query)
        assert status == 200
        jobs: list[dict[str, str]] = body["failure_jobs"]
        assert body["count"] == len(jobs)
        return jobs


@asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Caller]:
    """A running simulator with somebody to call it."""
    async with Simulator(**options) as sim, aiohttp.ClientSession(headers={"X-Auth-Token": sim.token}) as session:
        yield Caller(sim, session)


# ---- the fleet and its failed tasks ----------------------------------------------------------------------------------


def test_ids_have_the_service_s_form_and_depend_on_the_seed_alone() -> None:
    """Project ids are 32 lowercase hex digits, group ids dashed UUIDs; all distinct, the same for the same seed."""
    targets = Simulator(projects=5, groups=7, seed=3).targets
    assert len(set(targets)) == 35
    assert targets == Simulator(projects=5, groups=7, seed=3).targets
    assert not set(targets) & set(Simulator(projects=5, groups=7, seed=4).targets)
    for project_id, group_id in targets:
        assert re.fullmatch("[0-9a-f]{32}", project_id)
        assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", group_id)


def test_a_fleet_cannot_be_smaller_than_nothing() -> None:
    """Negative sizes are refused; an empty fleet is one."""
    with pytest.raises(ValueError, match="0 or more"):
        Simulator(groups=-1)
    assert Simulator(projects=0).targets == []
    assert Simulator(failed_tasks=0).remaining == 0


@pytest.mark.parametrize("strange", ["", "x", "batch", "f" * 32, "0_0", UNKNOWN_GROUP])
def test_only_the_exact_id_is_known(strange: str) -> None:
    """Whatever is no id of the fleet leads nowhere: not upper case, not without dashes, not another project's group."""
    fleet = Fleet(2, 3, 1, seed=0)
    (project_id, group_id), (_, others) = fleet.targets[0], fleet.targets[3]
    assert (fleet.project(project_id), fleet.group(0, group_id)) == (0, 0)
    assert fleet.project(strange) is None
    for wrong in (strange, group_id.upper(), group_id.replace("-", ""), others):
        assert fleet.group(0, wrong) is None
    assert not fleet.remove(0, strange)


async def test_a_group_delete_empties_that_group_alone() -> None:
    """204 without a body; the group's failed tasks are gone, the others' are not, and a repeat is 204 as well."""
    async with running(projects=2, groups=2, failed_tasks=3) as caller:
        sim, (project, group) = caller.sim, caller.sim.targets[0]
        path = f"/v1/{project}/task-center/{group}/failure-jobs/batch"
        assert sim.remaining == 12
        for _ in range(2):
            assert await caller.call("DELETE", path) == (204, None)
            assert [sim.failed_tasks(*target) for target in sim.targets] == [0, 3, 3, 3]
            assert sim.remaining == 9
        assert await caller.listed(project, group) == []
        assert len(await caller.listed(project)) == 3  # the project's own layer


async def test_a_project_delete_empties_the_project_s_own_layer_alone() -> None:
    """The batch without a group, which the manual calls "all", leaves what is inside the groups."""
    async with running(projects=2) as caller:
        project, group = caller.sim.targets[0]
        assert await caller.call("DELETE", f"/v1/{project}/task-center/failure-jobs/batch") == (204, None)
        assert await caller.listed(project) == []
        assert [caller.sim.failed_tasks(one) for one in (project, caller.sim.targets[-1][0])] == [0, 2]
        assert len(await caller.listed(project, group)) == 2
        assert len(await caller.listed(caller.sim.targets[-1][0])) == 2
        assert caller.sim.remaining == 16


async def test_one_failed_task_is_deleted_by_its_job_id() -> None:
    """In either layer, once: the second time its job is null. Its group's delete then counts what is left."""
    async with running(projects=2, groups=1, failed_tasks=3) as caller:
        sim, (project, group) = caller.sim, caller.sim.targets[0]
        for layer in (group, None):
            jobs = await caller.listed(project, layer)
            path = f"/v1/{project}/task-center/failure-jobs/{jobs[1]['job_id']}"
            assert await caller.call("DELETE", path) == (204, None)
            assert await caller.listed(project, layer) == [jobs[0], jobs[2]]
            assert (await caller.call("DELETE", path))[0] == 500
        assert (sim.failed_tasks(project, group), sim.remaining) == (2, 5)
        elsewhere = f"/v1/{sim.targets[1][0]}/task-center/failure-jobs/{jobs[0]['job_id']}"
        assert (await caller.call("DELETE", elsewhere))[0] == 500
        await caller.call("DELETE", f"/v1/{project}/task-center/{group}/failure-jobs/batch")
        assert sim.remaining == 3


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("{p}/task-center//failure-jobs/batch", "unknown"),
        ("{p}/task-center/failure-jobs/", "unknown"),
        ("{p}/task-center/failure-jobs/batch", "delete_project_failures"),
        ("{p}/task-center/failure-jobs/%62atch", "delete_project_failures"),
        ("{p}/task-center/failure-jobs/x%2Fy", "delete_failure"),
        ("{p}/task-center/batch/failure-jobs/batch", "delete_group_failures"),
        ("{p}/task-center/{g}/failure-jobs/batch/", "unknown"),
        ("{p}/server-groups", "unknown"),
        ("/task-center/{g}/failure-jobs/batch", "unknown"),
    ],
)
async def test_paths_are_matched_as_they_are(path: str, route: str) -> None:
    """`//` is not folded, and the project-wide delete is what a job id of `batch` leads to."""
    async with running() as caller:
        project, group = caller.sim.targets[0]
        request = (
            f"DELETE /v1/{path.format(p=project, g=group)} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {caller.sim.token}"
        )
        answer = await raw(caller.sim, request)
        assert [entry.route for entry in caller.sim.log] == [route]
        assert (b"APIGW.0101" in answer) == answer.startswith(b"HTTP/1.1 404") == (route == "unknown")
        assert caller.sim.remaining == 24


async def raw(sim: Simulator, head: str) -> bytes:
    """All that comes back on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sim.url.rpartition(":")[2]))
    writer.write(f"{head}\r\nConnection: close\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_it_can_stand_behind_a_client_that_uses_it_as_its_proxy() -> None:
    """A whole URL in the request line is taken for its path."""
    async with running() as caller:
        sim, (project, group) = caller.sim, caller.sim.targets[0]
        url = f"http://sdrs.example.com/v1/{project}/task-center/{group}/failure-jobs/batch?a=b"
        answer = await raw(sim, f"DELETE {url} HTTP/1.1\r\nHost: sdrs.example.com\r\nX-Auth-Token: {sim.token}")
        assert answer.startswith(b"HTTP/1.1 204")
        assert (sim.log[0].path, sim.log[0].query) == (
            url.partition("?")[0].removeprefix("http://sdrs.example.com"),
            "a=b",
        )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/task-center/{g}/failure-jobs/batch"),
        ("GET", "/task-center/failure-jobs?server_group_id={g}"),
        ("GET", "/server-groups/{g}"),
    ],
)
async def test_a_missing_group_is_a_bad_request(method: str, path: str) -> None:
    """The service reports it as 400 with SDRS.1013, and a project that is not there as SDRS.0001."""
    async with running(projects=2) as caller:
        for group in (UNKNOWN_GROUP, "no-group", caller.sim.targets[-1][1]):
            status, body = await caller.call(method, f"/v1/{caller.sim.targets[0][0]}{path.format(g=group)}")
            assert (status, body["error"]["code"]) == (400, "SDRS.1013")
        status, body = await caller.call(method, f"/v1/{'0' * 32}{path.format(g=UNKNOWN_GROUP)}")
        assert (status, body["error"]["code"]) == (400, "SDRS.0001")
        assert caller.sim.remaining == 16
        for missing in (("0" * 32, UNKNOWN_GROUP), ("0" * 32, None), (caller.sim.targets[0][0], UNKNOWN_GROUP)):
            with pytest.raises(LookupError):
                caller.sim.failed_tasks(*missing)


# ---- lists -----------------------------------------------------------------------------------------------------------


async def test_groups_are_listed_in_pages_with_the_count_of_all() -> None:
    """`limit` and `offset` cut a page; `count` is the number of all that match."""
    async with running(projects=2, groups=7) as caller:
        project = caller.sim.targets[-1][0]
        seen: list[list[tuple[str, str]]] = []
        for offset in (0, 3, 6, 9):
            query = {"limit": "3", "offset": str(offset)}
            _, body = await caller.call("GET", f"/v1/{project}/server-groups", params=query)
            assert body["count"] == 7
            seen.append([(project, group["id"]) for group in body["server_groups"]])
        assert [len(page) for page in seen] == [3, 3, 1, 0]
        assert [pair for page in seen for pair in page] == caller.sim.targets[7:]
        _, one = await caller.call("GET", f"/v1/{project}/server-groups/{seen[1][0][1]}")
        assert (one["server_group"]["name"], one["server_group"]["status"]) == ("group-0003", "protected")


async def test_a_list_without_a_limit_has_at_most_a_thousand() -> None:
    """The default limit is 1000 for groups and failed tasks alike."""
    async with running(projects=1, groups=1001, failed_tasks=1) as caller:
        project = caller.sim.targets[0][0]
        _, body = await caller.call("GET", f"/v1/{project}/server-groups")
        assert (body["count"], len(body["server_groups"])) == (1001, 1000)


@pytest.mark.parametrize("kind", ["server-groups", "task-center/failure-jobs"])
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=1", None),
        ("limit=999", None),
        ("limit=1000", None),
        ("limit=0", "SDRS.0221"),
        ("limit=1001", "SDRS.0221"),
        ("limit=-1", "SDRS.0221"),
        ("limit=", "SDRS.0221"),
        ("offset=-1", "SDRS.0222"),
        ("offset=x", "SDRS.0222"),
        ("offset=100", None),
    ],
)
async def test_limit_and_offset_have_their_ranges(kind: str, query: str, code: str | None) -> None:
    """1..1000 and 0 or more; else 400 with the code of the one that is wrong."""
    async with running(groups=1) as caller:
        status, body = await caller.call("GET", f"/v1/{caller.sim.targets[0][0]}/{kind}?{query}")
        assert (status, body.get("error", {}).get("code")) == ((400, code) if code else (200, None))


async def test_failed_tasks_are_listed_by_layer_with_filters_and_pages() -> None:
    """Every field is a string; a filter and a page narrow the layer."""
    async with running(groups=2, failed_tasks=6) as caller:
        project, group = caller.sim.targets[1]
        inner, own = await caller.listed(project, group), await caller.listed(project)
        assert {type(value) for job in inner + own for value in job.values()} == {str}
        assert len({job["job_id"] for job in inner + own}) == 12
        assert {job["resource_type"] for job in own} == {"server_groups"}
        assert {job["resource_type"] for job in inner} == {"protected_instances", "replications"}
        assert len(await caller.listed(project, group, failure_status="expandFail")) == 2
        assert await caller.listed(project, group, resource_name=inner[4]["resource_name"]) == [inner[4]]
        assert await caller.listed(project, group, limit="2", offset="3") == inner[3:5]


async def test_groups_are_filtered_by_name_and_status() -> None:
    """The name matches in part, the status as a whole."""
    async with running(projects=1, groups=12) as caller:
        path = f"/v1/{caller.sim.targets[0][0]}/server-groups"
        for query, count in ({"name": "p-001"}, 2), ({"status": "protected"}, 3), ({"availability_zone": "x"}, 0):
            assert (await caller.call("GET", path, params=query))[1]["count"] == count


# ---- log and inspection ----------------------------------------------------------------------------------------------


async def test_the_log_tells_what_arrived() -> None:
    """One entry per request, in order of arrival, with the ids of its path or filter."""
    async with running() as caller:
        project, group = caller.sim.targets[1]
        await caller.listed(project, group, limit="5")
        await caller.call("DELETE", f"/v1/{project}/task-center/{group}/failure-jobs/batch")
        await caller.call("GET", "/nowhere")
        first, second, third = caller.sim.log
        assert (first.method, first.route, first.project_id, first.server_group_id, first.status) == (
            *("GET", "list_failures", project, group, 200),
        )
        assert (first.path, first.query) == (
            f"/v1/{project}/task-center/failure-jobs",
            f"limit=5&server_group_id={group}",
        )
        assert (second.route, second.server_group_id, second.status, second.fault) == (
            *("delete_group_failures", group, 204, None),
        )
        assert (third.route, third.project_id, third.status, third.user) == ("unknown", None, 404, None)
        assert first.at < second.at < third.at
        assert len({entry.request_id for entry in caller.sim.log}) == 3


async def test_another_process_can_read_the_log_and_start_afresh() -> None:
    """`/simulator/...` needs no credential and is not logged; a reset restores tasks, limits, faults and the log."""
    async with running(project_rate="2/h") as caller, aiohttp.ClientSession() as anonymous:
        project, group = caller.sim.targets[0]
        path = f"/v1/{project}/task-center/{group}/failure-jobs/batch"
        assert [(await caller.call("DELETE", path))[0] for _ in range(3)] == [204, 204, 429]
        await caller.call("GET", "/v3")
        caller.session, session = anonymous, caller.session
        async with anonymous.get(caller.sim.url + "/simulator/log") as answer:
            lines = [json.loads(line) for line in (await answer.text()).splitlines()]
        assert [line["status"] for line in lines] == [204, 204, 429, 200]
        assert lines[0]["at"] == caller.sim.log[0].at
        status, counts = await caller.call("GET", "/simulator/summary?per=3600&by=project_id")
        assert (status, counts["requests"], counts["remaining"], counts["most_in_window"]) == (200, 4, 22, 3)
        assert counts["by_status"] == {"204": 2, "429": 1, "200": 1}
        assert (counts["first_at"], counts["last_at"]) == (lines[0]["at"], lines[3]["at"])
        assert (await caller.call("POST", "/simulator/reset"))[0] == 204
        assert (caller.sim.remaining, caller.sim.log) == (24, [])
        assert (await caller.call("GET", "/simulator/summary"))[1]["requests"] == 0
        caller.session = session
        assert (await caller.call("DELETE", path))[0] == 204


async def test_another_process_can_change_the_limits() -> None:
    """Those that are named, from then on, and through a reset; what is no limit is a 400 and changes none."""
    async with running() as caller:
        project, group = caller.sim.targets[0]
        path = f"/v1/{project}/task-center/{group}/failure-jobs/batch"

        async def statuses() -> list[int]:
            return [(await caller.call("DELETE", path))[0] for _ in range(3)]

        assert await statuses() == [204] * 3
        assert (await caller.call("POST", "/simulator/limits?user=2/h&project=none"))[0] == 204
        assert await statuses() == [204, 204, 429]
        for wrong in ("user=many", "colour=1/h", "user="):
            status, answer = await caller.call("POST", f"/simulator/limits?{wrong}")
            assert (status, bool(answer["error"])) == (400, True)
        await caller.call("POST", "/simulator/reset")
        assert await statuses() == [204, 204, 429]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("summary?per=0", 400),
        ("summary?per=nan", 400),
        ("summary?per=x", 400),
        ("summary?by=colour", 400),
        ("summary?by=endpoint&route=get_group", 200),
        ("limits", 404),
        ("reset", 404),
        ("nothing", 404),
    ],
)
async def test_a_wrong_question_to_the_inspection_says_so(path: str, status: int) -> None:
    """What cannot be counted is a 400, what is not there a 404."""
    async with running() as caller:
        answer = await caller.call("GET", f"/simulator/{path}")
        assert answer[0] == status
        assert status == 200 or answer[1]["error"]
        assert caller.sim.log == []


# ---- starting and stopping -------------------------------------------------------------------------------------------


async def test_a_port_in_use_is_an_error_that_leaves_nothing_behind() -> None:
    """Entering raises `OSError`; the port it was given is the one it uses when it is free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="address already in use"):
            await Simulator(port=port).__aenter__()
    async with running(port=port) as caller:
        assert caller.sim.url == f"http://127.0.0.1:{port}"
        assert (await caller.call("GET", "/v3"))[0] == 200


async def test_the_latency_comes_before_every_answer() -> None:
    """Answers of all kinds come, late."""
    async with running(latency=0.001) as caller:
        project = caller.sim.targets[0][0]
        assert len(await caller.listed(project)) == 2
        assert (await caller.call("GET", "/nowhere"))[0] == 404


def test_jitter_comes_on_top_of_the_latency_and_repeats() -> None:
    """Evenly between none and all of it, another row for another seed, from its beginning after a reset."""

    def drawn(latency: Latency) -> list[float]:
        return [latency.draw() for _ in range(200)]

    first = Latency(0.5, 0.25, seed=1)
    row = drawn(first)
    assert all(0.5 <= seconds <= 0.75 for seconds in row)
    assert (min(row) < 0.51, max(row) > 0.74) == (True, True)
    assert drawn(Latency(0.5, 0.25, seed=1)) == row != drawn(Latency(0.5, 0.25, seed=2))
    assert drawn(first) != row
    first.forget()
    assert drawn(first) == row
    assert drawn(Latency(0.5, 0.0, seed=1)) == [0.5] * 200


@pytest.mark.parametrize("times", [{"latency": -1.0}, {"jitter": -1.0}, {"jitter": float("inf")}])
def test_a_latency_that_is_no_time_is_refused(times: dict[str, float]) -> None:
    """Before anything is listened to."""
    with pytest.raises(ValueError, match="latency and jitter"):
        Simulator(**times)  # type: ignore[arg-type]


async def test_an_answer_comes_after_its_latency_and_jitter() -> None:
    """What is drawn for an arrival is the least that it waits, after a reset the same again."""
    async with running(latency=0.001, jitter=0.02, seed=3) as caller:
        for _ in range(2):
            latency = Latency(0.001, 0.02, seed=3)
            for _ in range(4):
                await caller.call("GET", "/v3")
            waits = [(entry.answered_at or 0.0) - entry.at for entry in caller.sim.log]
            assert all(waited >= latency.draw() for waited in waits)
            caller.sim.reset()
