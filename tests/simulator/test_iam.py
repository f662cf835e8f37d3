"""Who the simulator lets in, and its IAM: signing in, scopes, projects, versions; over real sockets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import aiohttp
import pytest

from sdrs_async.simulator import Simulator
from tests.simulator.test_server import running

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")


@pytest.mark.parametrize(
    "headers", [{}, {"X-Auth-Token": "wrong"}, {"Authorization": "Basic eA=="}, {"Authorization": "SDK-HMAC-SHA256 x"}]
)
async def test_without_a_credential_nothing_is_done(headers: dict[str, str]) -> None:
    """401 in the gateway's shape with 0301 from SDRS, in IAM's from IAM; the log has no user."""
    async with running() as caller, aiohttp.ClientSession(headers=headers) as caller.session:
        project, group = caller.sim.targets[0]
        status, body = await caller.call("DELETE", f"/v1/{project}/task-center/{group}/failure-jobs/batch")
        assert (status, body["error_code"], len(body["request_id"])) == (401, "APIGW.0301", 32)
        status, body = await caller.call("GET", "/v3/auth/projects")
        assert (status, body["error"]["code"], body["error"]["title"]) == (401, 401, "Unauthorized")
        assert [(entry.status, entry.user) for entry in caller.sim.log] == [(401, None)] * 2
        assert caller.sim.remaining == 24


def sign_in(sim: Simulator, scope: object = None, **changes: object) -> dict[str, Any]:
    """The body of a sign-in with the simulator's password; a change of `None` drops a key."""
    env = sim.environment
    user: dict[str, object] = {
        "name": env["OS_USERNAME"],
        "password": env["OS_PASSWORD"],
        "domain": {"name": env["OS_USER_DOMAIN_NAME"]},
    }
    given = {key: value for key, value in (user | changes).items() if value is not None}
    identity = {"methods": ["password"], "password": {"user": given}}
    return {"auth": {"identity": identity} | ({"scope": scope} if scope else {})}


async def test_a_password_buys_a_token_for_a_day() -> None:
    """201 with the token in a header, valid 24 h, the catalog's SDRS address ending in the project's id."""
    async with running() as caller:
        project, group = caller.sim.targets[-1]
        body = sign_in(caller.sim, {"project": {"id": project}})
        async with caller.session.post(caller.sim.url + "/v3/auth/tokens", json=body) as answer:
            bought, token = answer.headers["X-Subject-Token"], (await answer.json())["token"]
        assert answer.status == 201
        assert token["project"]["id"] == project
        times = [datetime.fromisoformat(token[name]) for name in ("issued_at", "expires_at")]
        assert (times[1] - times[0]).total_seconds() == 24 * 3600
        services = {service["type"]: service["endpoints"][0]["url"] for service in token["catalog"]}
        assert services["sdrs"] == f"{caller.sim.url}/v1/{project}"
        path = f"/v1/{project}/task-center/{group}/failure-jobs/batch"
        assert (await caller.call("DELETE", path, headers={"X-Auth-Token": bought}))[0] == 204
        assert caller.sim.log[-1].user == caller.sim.environment["OS_USERNAME"]


async def test_tokens_differ_and_stay_good() -> None:
    """A new token does not void an old one."""
    async with running() as caller:
        bought = []
        for _ in range(2):
            async with caller.session.post(caller.sim.url + "/v3/auth/tokens", json=sign_in(caller.sim)) as answer:
                bought.append(answer.headers["X-Subject-Token"])
        assert len({*bought, caller.sim.token}) == 3
        for token in bought:
            assert (await caller.call("GET", "/v3/auth/projects", headers={"X-Auth-Token": token}))[0] == 200


async def test_a_token_s_scope_is_a_project_a_domain_or_nothing() -> None:
    """By id or name; the project wins over the domain; `nocatalog` leaves the catalog out."""
    async with running() as caller:
        domain = {"name": caller.sim.environment["OS_USER_DOMAIN_NAME"]}
        scopes: dict[str, object] = {
            "project catalog": {"project": {"name": "eu-de_project2", "domain": domain}, "domain": domain},
            "domain catalog": {"domain": domain},
            "catalog": None,
        }
        for kinds, scope in scopes.items():
            for query in ("", "?nocatalog", "?nocatalog=1"):
                status, body = await caller.call("POST", f"/v3/auth/tokens{query}", json=sign_in(caller.sim, scope))
                assert status == 201
                expected = set(kinds.split()) - ({"catalog"} if query else set())
                assert body["token"].keys() & {"project", "domain", "catalog"} == expected


@pytest.mark.parametrize(
    ("changes", "scope"),
    [
        ({"password": "wrong"}, None),
        ({"name": "nobody"}, None),
        ({"domain": {"name": "elsewhere"}}, None),
        ({"domain": None}, None),
        ({}, {"project": {"id": "0" * 32}}),
        ({}, {"project": {"name": "eu-de", "domain": {"id": "elsewhere"}}}),
        ({}, {"domain": {"id": "elsewhere"}}),
    ],
)
async def test_a_wrong_sign_in_is_refused(changes: dict[str, object], scope: object) -> None:
    """401 with an integer code, and no token."""
    async with running() as caller:
        status, body = await caller.call("POST", "/v3/auth/tokens", json=sign_in(caller.sim, scope, **changes))
        assert (status, body["error"]["code"]) == (401, 401)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"auth": {"identity": {"methods": ["token"]}}}', b"\xff"])
async def test_what_is_no_sign_in_is_a_bad_request(body: bytes) -> None:
    """400 in IAM's shape, whatever was sent."""
    async with running() as caller:
        status, answer = await caller.call("POST", "/v3/auth/tokens", data=body)
        assert (status, answer["error"]["code"]) == (400, 400)


async def test_the_account_s_projects_are_listed() -> None:
    """Both lists show every project; one of them by name. The built-in project is called like the region."""
    async with running() as caller:
        everything = list(dict.fromkeys(project for project, _ in caller.sim.targets))
        for path in ("/v3/auth/projects", "/v3/projects"):
            _, body = await caller.call("GET", path)
            assert [project["id"] for project in body["projects"]] == everything
        for name, found in ("eu-de", everything[:1]), ("eu-de_project1", everything[1:2]), ("eu", []):
            _, body = await caller.call("GET", "/v3/projects", params={"name": name})
            assert [project["id"] for project in body["projects"]] == found


async def test_versions_are_told_to_everybody() -> None:
    """Without a credential, as the discovery of OpenStack's clients needs it."""
    async with running() as caller, aiohttp.ClientSession() as caller.session:
        status, body = await caller.call("GET", "/")
        assert (status, body["versions"]["values"][0]["links"][0]["href"]) == (300, f"{caller.sim.url}/v3/")
        for path in ("/v3", "/v3/"):
            status, body = await caller.call("GET", path)
            assert (status, body["version"]["status"]) == (200, "stable")


async def test_the_environment_holds_each_kind_of_credential() -> None:
    """Token, password and access key, with the addresses that go with them; the same again for the same seed."""
    async with running(seed=7) as caller:
        env = caller.sim.environment
        assert env["OS_AUTH_URL"] == caller.sim.url + "/v3"
        assert env["OS_TOKEN"] == caller.sim.token
        assert env["HUAWEICLOUD_SDK_IAM_ENDPOINT"] == env["HUAWEICLOUD_SDK_REGION_SDRS_EU_DE"] == caller.sim.url
        again = Simulator(seed=7).environment
        for name in ("OS_USERNAME", "OS_PASSWORD", "OS_TOKEN", "HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"):
            assert env[name] == again[name]
        assert Simulator(seed=8).token != caller.sim.token
