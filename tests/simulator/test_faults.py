"""Faults of the simulator: what each kind does to the client and to the work, and that a run repeats."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from sdrs_async.simulator import Fault, Simulator
from sdrs_async.simulator.faults import KINDS, Faults
from sdrs_async.simulator.routes import ROUTES, Call
from tests.simulator.test_iam import sign_in

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

Target = tuple[str, str]


def path_of(target: Target) -> str:
    """The path of the delete of one group."""
    return "/v1/{}/task-center/{}/failure-jobs/batch".format(*target)


async def statuses(sim: Simulator, targets: Sequence[Target]) -> list[int | None]:
    """The status of each delete, one after the other, each on a connection of its own; `None` where it was lost."""
    seen: list[int | None] = []
    connector = aiohttp.TCPConnector(force_close=True)  # on a kept one aiohttp would send a lost request again
    async with aiohttp.ClientSession(headers={"X-Auth-Token": sim.token}, connector=connector) as session:
        for target in targets:
            try:
                async with session.delete(sim.url + path_of(target)) as answer:
                    seen.append(answer.status)
            except aiohttp.ClientConnectionError:
                seen.append(None)
    return seen


@asynccontextmanager
async def deleting(*faults: Fault, **options: Any) -> AsyncIterator[tuple[Simulator, aiohttp.ClientResponse]]:
    """A simulator with these faults, and its answer to one delete."""
    async with (
        Simulator(faults=faults, **options) as sim,
        aiohttp.ClientSession(headers={"X-Auth-Token": sim.token}) as session,
        session.delete(sim.url + path_of(sim.targets[0]), allow_redirects=False) as answer,
    ):
        yield sim, answer


async def until(condition: Callable[[], object]) -> None:
    """Let everybody else run until something has happened."""
    while not condition():  # noqa: ASYNC110 - the server under test has no event for it, nor should it
        await asyncio.sleep(0)


async def connect(sim: Simulator, method: str, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send one request on a raw connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sim.url.rpartition(":")[2]))
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {sim.token}\r\n\r\n".encode())
    return reader, writer


async def answer_of(sim: Simulator, method: str, path: str) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Status line, headers and body of an answer whose connection the server closes."""
    reader, writer = await connect(sim, method, path)
    try:
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
        await writer.wait_closed()
    line, *headers = head.split(b"\r\n")
    return line, dict(header.lower().split(b": ", 1) for header in headers), body


# ---- repeating -------------------------------------------------------------------------------------------------------

MIX = (Fault("status", 0.3), Fault("status", 0.2, status=429), Fault("reset-after", 0.1), Fault("wrong-json", 0.1))


async def met(seed: int, order: int) -> dict[Target, list[tuple[int | None, str | None]]]:
    """What each of 24 targets met in its three arrivals, in an order of arrival that `order` decides."""
    async with Simulator(projects=4, groups=6, seed=seed, faults=MIX) as sim:
        targets = sim.targets * 3
        random.Random(order).shuffle(targets)
        await statuses(sim, targets)
        result: dict[Target, list[tuple[int | None, str | None]]] = {target: [] for target in sim.targets}
        for entry in sim.log:
            result[entry.project_id or "", entry.server_group_id or ""].append((entry.status, entry.fault))
        return result


async def test_a_run_repeats_whatever_the_order_of_arrival() -> None:
    """Each target's first, second and third arrival meet the same; another seed is another run."""
    first = await met(seed=1, order=1)
    assert first == await met(seed=1, order=2)
    kinds = {fault for arrivals in first.values() for _, fault in arrivals}
    assert kinds == {None, "status", "reset-after", "wrong-json"}
    other = await met(seed=2, order=1)
    assert list(first.values()) != list(other.values())


def test_the_draws_of_one_target_depend_on_the_seed() -> None:
    """Of one and the same target, whose id another fleet could have too."""
    call = Call("delete_group_failures", "project", "group")

    def drawn(seed: int) -> list[bool]:
        faults = Faults((Fault("status", 0.5),), seed, "", "")
        return [faults.draw(call) is not None for _ in range(64)]

    assert drawn(1) == drawn(1) != drawn(2)


async def test_shares_are_kept() -> None:
    """Of 500 arrivals about the share of each fault meets it, and the rest is served."""
    faults = (Fault("status", 0.05), Fault("status", 0.25, status=500))
    async with Simulator(projects=10, groups=50, faults=faults) as sim:
        seen = await statuses(sim, sim.targets)
        counts = [seen.count(status) for status in (503, 500, 204)]
        assert sum(counts) == 500
        assert all(abs(count - share * 500) < 40 for count, share in zip(counts, (0.05, 0.25, 0.7), strict=True))


async def test_what_the_limiter_refuses_is_no_arrival_for_the_faults() -> None:
    """A refusal shifts no draw, so that pacing does not change what a target meets."""
    faults = (Fault("status", times=1),)
    async with Simulator(projects=2, groups=1, project_rate="1/h", faults=faults) as sim:
        assert await statuses(sim, sim.targets[:1] * 2) == [503, 429]
        sim.reset()
        assert await statuses(sim, sim.targets[:1]) == [503]


async def test_a_fault_can_be_limited_to_some_and_to_the_first_arrivals() -> None:
    """`only` names projects and groups, `times` the arrivals of each target."""
    sim = Simulator(projects=2, groups=2)
    (project, _), _, (_, group), _ = sim.targets
    async with Simulator(projects=2, groups=2, faults=(Fault("status", only={project, group}, times=2),)) as sim:
        assert await statuses(sim, sim.targets * 3) == [503, 503, 503, 204] * 2 + [204] * 4
    async with Simulator(projects=2, groups=2, faults=(Fault("status", only=project),)) as sim:
        assert await statuses(sim, sim.targets) == [503, 503, 204, 204]


# ---- each kind -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "SDRS.0201"),
        (401, "APIGW.0301"),
        (403, "APIGW.0302"),
        (404, "SDRS.1013"),
        (409, "SDRS.1002"),
        (418, "APIGW.0201"),
        (429, "APIGW.0308"),
        (500, "SDRS.0013"),
        (502, "APIGW.0202"),
        (503, "APIGW.0613"),
        (504, "APIGW.0203"),
        (599, "APIGW.0201"),
    ],
)
async def test_a_status_comes_with_the_body_that_fits(status: int, code: str) -> None:
    """The service's or the gateway's own code; the work is not done."""
    async with deleting(Fault("status", status=status)) as (sim, answer):
        body = await answer.json()
        assert answer.status == status
        assert code in (body.get("error_code"), body.get("error", {}).get("code"))
        assert sim.remaining == 24
        assert (sim.log[0].status, sim.log[0].fault) == (status, "status")


async def test_a_throttling_fault_names_the_limit_there_is() -> None:
    """The first of the server's own limits, else the usual one per project."""
    for rate, text in (None, "app over ratelimit,limit:10,time:1 second"), ("200/5min", "limit:200,time:5 minute"):
        async with deleting(Fault("status", status=429), project_rate=rate) as (_, answer):
            assert text in (await answer.json())["error_msg"]


@pytest.mark.parametrize("body", ["<html>busy</html>", b"<html>busy</html>", {"busy": True}])
async def test_body_and_headers_of_a_status_can_be_given(body: str | bytes | dict[str, object]) -> None:
    """Text, bytes, or what is to be JSON; headers are added to the usual ones."""
    headers = {"Retry-After": "7", "Content-Type": "text/html"}
    async with deleting(Fault("status", body=body, headers=headers)) as (_, answer):
        assert (answer.headers["Retry-After"], answer.headers["Content-Type"]) == ("7", "text/html")
        assert "X-Request-Id" in answer.headers
        assert "busy" in await answer.text()


async def test_a_redirect_has_no_body() -> None:
    """A status below 400 comes empty, with the headers that were asked for."""
    fault = Fault("status", status=307, headers={"Location": "/elsewhere"})
    async with deleting(fault) as (sim, answer):
        assert (answer.status, answer.headers["Location"], await answer.read()) == (307, "/elsewhere", b"")
        assert len(sim.log) == 1


async def test_what_a_sign_in_meets_depends_on_the_project_it_is_for() -> None:
    """Each project's sign-ins are counted by themselves, by id or name alike; one for no project is another target."""
    plain = Simulator()
    first, second = dict.fromkeys(project for project, _ in plain.targets[:8])
    scopes = [{"id": first}, {"name": "eu-de"}, {"id": second}, None, {"id": first}, {"id": second}, None]
    async with Simulator(faults=[Fault("status", route="create_token", times=2, only=[first])]) as sim:
        async with aiohttp.ClientSession() as session:
            for project in scopes:
                body = sign_in(sim, {"project": project} if project else None)
                async with session.post(sim.url + "/v3/auth/tokens", json=body):
                    pass
        assert [entry.status for entry in sim.log] == [503, 503, 201, 201, 201, 201, 201]
        assert [entry.project_id for entry in sim.log] == [first, first, second, None, first, second, None]


async def test_a_throttling_fault_of_iam_has_its_code() -> None:
    """IAM.0012 in IAM's shape, naming the limit there is or a usual one."""
    for rate, text in (None, "10 times per 1 seconds"), ("200/5min", "200 times per 300 seconds"):
        fault = Fault("status", route="list_own_projects", status=429)
        async with (
            Simulator(faults=[fault], iam_rate=rate) as sim,
            aiohttp.ClientSession(headers={"X-Auth-Token": sim.token}) as session,
            session.get(sim.url + "/v3/auth/projects") as answer,
        ):
            error = (await answer.json())["error"]
            assert (answer.status, error["code"]) == (429, "IAM.0012")
            assert error["message"].endswith(text)


async def test_iam_fails_in_its_own_shape() -> None:
    """A fault on signing in has IAM's integer code, and meets nobody else."""
    faults = (Fault("status", route="create_token", status=503),)
    async with Simulator(faults=faults) as sim, aiohttp.ClientSession() as session:
        async with session.post(sim.url + "/v3/auth/tokens", json={}) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (503, 503)
        assert await statuses(sim, sim.targets[:1]) == [204]


async def test_a_slow_answer_is_the_normal_one() -> None:
    """Late, with the work done, and marked in the log."""
    async with Simulator(faults=(Fault("latency", seconds=0.001),)) as sim:
        assert await statuses(sim, sim.targets[:1]) == [204]
        assert (sim.remaining, sim.log[0].status, sim.log[0].fault) == (22, 204, "latency")


@pytest.mark.parametrize(("kind", "left"), [("reset-before", 24), ("reset-after", 22)])
async def test_a_connection_is_reset_before_or_after_the_work(kind: str, left: int) -> None:
    """The client sees a reset instead of an answer; only after the work is the failed task gone."""
    async with Simulator(faults=(Fault(kind),)) as sim:
        reader, writer = await connect(sim, "DELETE", path_of(sim.targets[0]))
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionResetError):
            await writer.wait_closed()
        assert (sim.remaining, sim.log[0].status, sim.log[0].fault) == (left, None, kind)


async def test_a_cut_off_delete_is_an_error_without_the_work() -> None:
    """A 204 has no body to cut: it is a 500 that promises more than it sends."""
    async with Simulator(faults=(Fault("cut-off"),)) as sim:
        line, headers, body = await answer_of(sim, "DELETE", path_of(sim.targets[0]))
        assert line.startswith(b"HTTP/1.1 500")
        assert 0 < len(body) < int(headers[b"content-length"])
        assert (sim.remaining, sim.log[0].status, sim.log[0].fault) == (24, 500, "cut-off")


async def test_a_cut_off_list_is_a_success_that_ends_early() -> None:
    """A read keeps its status, and its JSON stops in the middle."""
    async with Simulator(faults=(Fault("cut-off", route="list_groups"),)) as sim:
        line, headers, body = await answer_of(sim, "GET", f"/v1/{sim.targets[0][0]}/server-groups")
        assert line.startswith(b"HTTP/1.1 200")
        assert body.startswith(b'{"count": 4')
        assert 0 < len(body) < int(headers[b"content-length"])


async def test_a_connection_can_be_closed_after_a_good_answer() -> None:
    """The work is done and answered as ever, and the answer says that it is the last of its connection."""
    async with Simulator(faults=(Fault("close"),)) as sim:
        line, headers, body = await answer_of(sim, "DELETE", path_of(sim.targets[0]))
        assert (line, headers[b"connection"], body) == (b"HTTP/1.1 204 No Content", b"close", b"")
        assert (sim.remaining, sim.log[0].status, sim.log[0].fault) == (22, 204, "close")


async def test_wrong_json_is_a_500_that_cannot_be_read() -> None:
    """The whole body arrives, and is no JSON."""
    async with deleting(Fault("wrong-json")) as (sim, answer):
        body = await answer.read()
        assert (answer.status, sim.remaining, sim.log[0].fault) == (500, 24, "wrong-json")
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)


async def test_a_hanging_request_ends_when_its_client_goes_away() -> None:
    """No work, no answer, and no task of it left."""
    async with Simulator(faults=(Fault("hang"),)) as sim:
        before = asyncio.all_tasks()
        _, writer = await connect(sim, "DELETE", path_of(sim.targets[0]))
        await until(lambda: sim.log)
        assert len(asyncio.all_tasks() - before) > 0
        writer.close()
        await writer.wait_closed()
        await until(lambda: not asyncio.all_tasks() - before)
        assert (sim.remaining, sim.log[0].status, sim.log[0].fault) == (24, None, "hang")
        assert sim.log[0].answered_at is None


async def test_hanging_requests_end_when_the_simulator_closes() -> None:
    """However many: each connection ends, and the `no_leaked_tasks` fixture finds nothing."""
    async with Simulator(groups=20, faults=(Fault("hang"),)) as sim:
        connections = [await connect(sim, "DELETE", path_of(target)) for target in sim.targets]
        await until(lambda: len(sim.log) == 60)
    for reader, writer in connections:
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    assert {entry.status for entry in sim.log} == {None}


async def test_closing_ends_what_waits_for_its_latency() -> None:
    """The connection ends without an answer; the work was done at arrival, and the log shows no status."""
    async with Simulator(latency=3600) as sim:
        reader, writer = await connect(sim, "DELETE", path_of(sim.targets[0]))
        await until(lambda: sim.log)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert (sim.remaining, sim.log[0].status, sim.log[0].fault) == (22, None, None)


# ---- describing them -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("503=5%", Fault("status", 0.05, status=503)),
        ("429=0.02", Fault("status", 0.02, status=429)),
        ("reset-after=1%", Fault("reset-after", 0.01)),
        ("latency=2%:0.25", Fault("latency", 0.02, seconds=0.25)),
        ("404@list_groups=1", Fault("status", 1.0, route="list_groups", status=404)),
        ("hang@create_token=100%", Fault("hang", 1.0, route="create_token")),
    ],
)
def test_a_fault_is_read_from_the_command_line(text: str, fault: Fault) -> None:
    """KIND[@ROUTE]=SHARE[:SECONDS], a number being a status."""
    assert Fault.parse(text) == fault


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "another form"),
        ("503", "another form"),
        ("503=", "another form"),
        ("503=x", "another form"),
        ("503=1.2.3", "could not convert"),
        ("503=101%", "share of 0..1"),
        ("999=1%", "status of 200..599"),
        ("explode=1%", "use a status or one of status, latency"),
        ("503@nowhere=1%", "use one of create_token, delete_failure"),
        ("latency=1%:.", "could not convert"),
    ],
)
def test_a_fault_that_is_not_understood_says_why_and_shows_the_form(text: str, reason: str) -> None:
    """One `ValueError` with the cause and the way to write it."""
    with pytest.raises(ValueError, match=r"KIND\[@ROUTE\]=SHARE") as caught:
        Fault.parse(text)
    assert reason in str(caught.value)


def test_kinds_and_routes_are_those_that_are_documented() -> None:
    """Users spell these names in scripts."""
    assert set(KINDS) == {"status", "latency", "hang", "reset-before", "reset-after", "cut-off", "wrong-json", "close"}
    assert {
        *("delete_group_failures", "delete_project_failures", "delete_failure", "list_failures"),
        *("list_groups", "get_group", "create_token", "list_own_projects", "list_projects"),
    } < ROUTES
