"""Tokens over real sockets: what each is good for, how long, and what revoking does."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from sdrs_async.simulator import Simulator
from sdrs_async.simulator.tokens import Tokens
from tests.simulator.test_iam import sign_in
from tests.simulator.test_keys import Clock
from tests.simulator.test_server import Caller, running

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")


async def buy(caller: Caller, scope: object = None, body: dict[str, Any] | None = None) -> str:
    """A new token, by password if no other sign-in is given."""
    given = body or sign_in(caller.sim, scope)
    async with caller.session.post(caller.sim.url + "/v3/auth/tokens", json=given) as answer:
        assert answer.status == 201
        return answer.headers["X-Subject-Token"]


async def delete(caller: Caller, number: int, token: str) -> tuple[int, str]:
    """Status, error code and text of the delete of one group."""
    path = "/v1/{}/task-center/{}/failure-jobs/batch".format(*caller.sim.targets[number])
    status, body = await caller.call("DELETE", path, headers={"X-Auth-Token": token})
    return status, f"{body['error_code']} {body['error_msg']}" if body else ""


UPDATE = (401, "APIGW.0307 The token must be updated.")
EXPIRED = (401, "APIGW.0301 Incorrect IAM authentication information: token expired")
REVOKED = (401, "APIGW.0301 Incorrect IAM authentication information: decrypt token fail")


async def test_a_token_is_good_for_its_project_alone() -> None:
    """Another project's, a domain's and one without a scope are refused with 0307; IAM takes them all."""
    async with running(projects=2, groups=1) as caller:
        domain = {"name": caller.sim.environment["OS_USER_DOMAIN_NAME"]}
        projects = [project for project, _ in caller.sim.targets]
        tokens = [await buy(caller, {"project": {"id": project}}) for project in projects]
        assert await delete(caller, 0, tokens[0]) == (204, "")
        assert await delete(caller, 1, tokens[0]) == UPDATE
        for scope in ({"domain": domain}, None):
            tokens.append(await buy(caller, scope))
            assert await delete(caller, 1, tokens[-1]) == UPDATE
        for token in tokens:
            assert (await caller.call("GET", "/v3/auth/projects", headers={"X-Auth-Token": token}))[0] == 200
        assert caller.sim.remaining == 2
        assert [await delete(caller, number, caller.sim.token) for number in (0, 1)] == [(204, "")] * 2


async def test_a_token_lives_as_long_as_it_says() -> None:
    """To the second; the one that is good for every project has no end."""
    clock = Clock()
    async with running(projects=1, groups=1, token_life=600.0, clock=clock) as caller:
        token = await buy(caller, {"project": {"name": "eu-de"}})
        clock.now += 599.9
        assert (await delete(caller, 0, token))[0] == 204
        clock.now += 0.1
        assert await delete(caller, 0, token) == EXPIRED
        status, body = await caller.call("GET", "/v3/auth/projects", headers={"X-Auth-Token": token})
        assert (status, "token expired" in body["error"]["message"]) == (401, True)
        assert [entry.user for entry in caller.sim.log[-2:]] == [None, None]
        clock.now += 10**9
        assert (await delete(caller, 0, caller.sim.token))[0] == 204


@pytest.mark.parametrize("life", [0.0, -1.0, float("nan")])
def test_a_token_without_a_life_is_refused(life: float) -> None:
    """It could never be used."""
    with pytest.raises(ValueError, match="longer than 0 seconds"):
        Simulator(token_life=life)


async def test_tokens_are_revoked_for_a_project_or_for_all() -> None:
    """Those issued until then; later ones are good, and the one for every project is spared unless it is named."""
    async with running(projects=2, groups=1) as caller:
        sim = caller.sim
        scopes = [{"project": {"id": project}} for project, _ in sim.targets]

        async def judged() -> list[int]:
            """Of the first project's token, the second's and the one for every project."""
            tokens = [(0, first), (1, second), (0, sim.token)]
            return [(await delete(caller, number, token))[0] for number, token in tokens]

        first, second = [await buy(caller, scope) for scope in scopes]
        sim.revoke_tokens(sim.targets[0][0])
        assert await judged() == [401, 204, 204]
        assert await delete(caller, 0, first) == REVOKED
        first = await buy(caller, scopes[0])
        assert await judged() == [204, 204, 204]
        sim.revoke_tokens()
        assert await judged() == [401, 401, 204]
        sim.revoke_tokens(everywhere=True)
        assert await judged() == [401, 401, 401]
        sim.reset()
        assert await judged() == [401, 401, 401]


async def test_tokens_can_be_revoked_in_mid_run() -> None:
    """At an arrival that is counted, which is refused already; IAM's do not count, and a token bought later is good."""
    async with running(projects=1, groups=1) as caller:
        sim, scope = caller.sim, {"project": {"name": "eu-de"}}
        await delete(caller, 0, sim.token)
        sim.revoke_when(arrivals=3)
        sim.revoke_when(arrivals=5)
        token = await buy(caller, scope)
        assert [(await delete(caller, 0, token))[0] for _ in range(4)] == [204, 204, 401, 401]
        token = await buy(caller, scope)
        assert (await delete(caller, 0, token))[0] == 401
        token, _ = await buy(caller, scope), await buy(caller, scope)
        assert (await delete(caller, 0, token))[0] == 204
        sim.revoke_when(arrivals=1)
        sim.reset()
        assert (await delete(caller, 0, token))[0] == 204
        with pytest.raises(ValueError, match="1 arrival or more"):
            sim.revoke_when(arrivals=0)


async def test_the_log_tells_which_token_a_request_carried() -> None:
    """By the number of its issue, good or not; what is no token of this server has none. Never the token itself."""
    async with running(projects=1, groups=1, latency=0.001) as caller:
        sim = caller.sim
        tokens = [sim.token] + [await buy(caller, {"project": {"name": "eu-de"}}) for _ in range(2)]
        sim.revoke_tokens()
        for token in (*tokens, "made-up"):
            await delete(caller, 0, token)
        entries = sim.log[2:]
        assert [entry.credential for entry in entries] == ["token 0", "token 1", "token 2", None]
        assert [entry.status for entry in entries] == [204, 401, 401, 401]
        assert all(entry.answered_at and entry.answered_at - entry.at >= 0.001 for entry in sim.log)
        assert [(entry.project_id, entry.credential) for entry in sim.log[:2]] == [(sim.targets[0][0], None)] * 2
        assert not any(token in repr(sim.log) for token in tokens)


def test_a_token_is_not_shown() -> None:
    """Its representation has its number alone."""
    token = Tokens(0, 1.0, lambda: 0.0).issue(None, float("inf"))
    assert token.text not in repr(token)


async def test_every_change_in_the_log_of_another_process_is_there() -> None:
    """The inspection shows credential and time of the answer too."""
    async with running(projects=1) as caller, aiohttp.ClientSession() as session:
        await caller.call("GET", "/v3/auth/projects")
        async with session.get(caller.sim.url + "/simulator/log") as answer:
            line = await answer.json(content_type=None)
        assert (line["credential"], line["answered_at"]) == ("token 0", caller.sim.log[0].answered_at)
