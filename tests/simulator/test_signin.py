"""The ways to sign in at the simulator's IAM, its limit, and the projects that a client has to leave alone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from sdrs_async.simulator import Simulator
from tests.simulator.test_iam import sign_in
from tests.simulator.test_keys import NOON, Clock, key_of, signed
from tests.simulator.test_server import Caller, running
from tests.simulator.test_tokens import buy, delete

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")


def body_of(method: str, given: object, scope: object = None) -> dict[str, Any]:
    """The body of a sign-in with one method."""
    auth: dict[str, Any] = {"identity": {"methods": [method], method: given}}
    return {"auth": auth | ({"scope": scope} if scope else {})}


async def token_of(caller: Caller, body: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
    """The status of a sign-in, and the document of its token."""
    status, answer = await caller.call("POST", "/v3/auth/tokens?nocatalog", json=body, headers=headers)
    return status, answer.get("token", {})


# ---- methods ---------------------------------------------------------------------------------------------------------


async def test_a_token_buys_another_for_a_project() -> None:
    """Whatever its own scope; the new one lives no longer than the old. A bad one buys nothing."""
    clock = Clock()
    async with running(projects=2, groups=1, clock=clock, token_life=600.0) as caller:
        old = await buy(caller)
        clock.now += 500
        scope = {"project": {"name": "eu-de_project1"}}
        status, token = await token_of(caller, body_of("token", {"id": old}, scope))
        assert (status, token["methods"], token["project"]["id"]) == (201, ["token"], caller.sim.targets[1][0])
        assert datetime.fromisoformat(token["expires_at"]).timestamp() == NOON + 600
        new = await buy(caller, body=body_of("token", {"id": old}, scope))
        assert await delete(caller, 1, new) == (204, "")
        status, token = await token_of(caller, body_of("token", {"id": caller.sim.token}, scope))
        assert datetime.fromisoformat(token["expires_at"]).timestamp() == NOON + 1100
        clock.now += 100
        for bad in (old, new, "made-up", None, 7):
            assert (await token_of(caller, body_of("token", {"id": bad}, scope)))[0] == 401


@pytest.mark.parametrize("by", ["id", "name and user", "name and user id"])
async def test_an_application_credential_is_bound_to_the_first_project(by: str) -> None:
    """It asks for no scope and gets that project; its sign-in is counted there."""
    async with running(projects=2, groups=1) as caller:
        known, env = caller.sim.application_credential, caller.sim.environment
        user = {"name": env["OS_USERNAME"], "domain": {"name": env["OS_USER_DOMAIN_NAME"]}}
        if by == "name and user id":
            user = {"id": (await token_of(caller, sign_in(caller.sim)))[1]["user"]["id"]}
        given = {"id": known.id} if by == "id" else {"name": known.name, "user": user}
        body = body_of("application_credential", {**given, "secret": known.secret})
        status, token = await token_of(caller, body)
        assert (status, token["methods"]) == (201, ["application_credential"])
        assert token["project"]["id"] == caller.sim.log[-1].project_id == caller.sim.targets[0][0]
        assert await delete(caller, 0, await buy(caller, body=body)) == (204, "")
        for wrong in (
            body_of("application_credential", {**given, "secret": "wrong"}),
            body_of("application_credential", {"name": known.name, "secret": known.secret}),
            body_of("application_credential", {**given, "secret": known.secret}, {"project": {"name": "eu-de"}}),
        ):
            assert (await token_of(caller, wrong))[0] == 401
    async with running(projects=0) as caller:
        assert (await token_of(caller, body))[0] == 401


@pytest.mark.parametrize("name", ["agency_name", "xrole_name"])
@pytest.mark.parametrize("domain", ["domain_id", "domain_name"])
async def test_an_agency_is_assumed_with_a_token(name: str, domain: str) -> None:
    """By either spelling of its name and of its domain, for a project of that domain; a bad token assumes nothing."""
    async with running(projects=2, groups=1) as caller:
        agency = caller.sim.agency
        delegating = agency.domain_id if domain == "domain_id" else agency.domain
        given, scope = {name: agency.name, domain: delegating}, {"project": {"name": "eu-de_project1"}}
        token = await buy(caller)
        status, document = await token_of(caller, body_of("assume_role", given, scope), **{"X-Auth-Token": token})
        assert (status, document["methods"]) == (201, ["assume_role"])
        assert document["project"]["id"] == caller.sim.log[-1].project_id == caller.sim.targets[1][0]
        for wrong, carried in (
            (given, "made-up"),
            ({**given, name: "wrong"}, token),
            ({**given, domain: "wrong"}, token),
            ({name: agency.name}, token),
        ):
            body = body_of("assume_role", wrong, scope)
            assert (await token_of(caller, body, **{"X-Auth-Token": carried}))[0] == 401


@pytest.mark.parametrize(
    "body",
    [
        body_of("password", None),
        body_of("token", "x"),
        body_of("assume_role", []),
        body_of("totp", {}),
        {"auth": {"identity": {"methods": ["password", "totp"], "password": {}, "totp": {}}}},
        {"auth": {"identity": {"methods": [{}]}}},
        {"auth": {"identity": {"methods": "password", "password": {}}}},
    ],
)
async def test_what_is_no_known_method_is_a_bad_request(body: dict[str, Any]) -> None:
    """400, and the log has no project."""
    async with running() as caller:
        assert (await token_of(caller, body))[0] == 400
        assert caller.sim.log[0].project_id is None


# ---- the limit of IAM ------------------------------------------------------------------------------------------------


async def test_iam_throttles_in_its_own_words() -> None:
    """429 with IAM.0012 and the limit, for all its calls together and whoever asks; SDRS is not concerned."""
    async with running(projects=1, iam_rate="2/h") as caller:
        assert (await token_of(caller, sign_in(caller.sim)))[0] == 201
        assert (await caller.call("GET", "/v3/auth/projects", headers={"X-Auth-Token": "wrong"}))[0] == 401
        for path, method in ("/v3/auth/tokens", "POST"), ("/v3/projects", "GET"), ("/v3", "GET"):
            status, body = await caller.call(method, path)
            assert (status, body["error"]["code"]) == (429, "IAM.0012")
            assert body["error"]["message"].endswith("2 times per 3600 seconds")
        assert (await delete(caller, 0, caller.sim.token))[0] == 204
        caller.sim.reset()
        assert (await caller.call("GET", "/v3"))[0] == 200


# ---- what has no groups here -----------------------------------------------------------------------------------------


async def decoys(caller: Caller) -> dict[str, dict[str, Any]]:
    """What IAM lists beside the projects of the fleet, by name."""
    _, body = await caller.call("GET", "/v3/auth/projects")
    own = {project for project, _ in caller.sim.targets}
    return {project["name"]: project for project in body["projects"] if project["id"] not in own}


async def test_iam_can_list_what_a_client_has_to_skip() -> None:
    """After the fleet's projects, if asked for: disabled, a domain, the object store's, another region's."""
    async with running(projects=1) as caller:
        assert await decoys(caller) == {}
    async with running(projects=1, decoys=True) as caller:
        found = await decoys(caller)
        domain = caller.sim.environment["OS_USER_DOMAIN_NAME"]
        assert list(found) == ["eu-de_disabled", domain, "MOS", "eu-nl", "eu-nl_x"]
        assert [name for name, project in found.items() if not project["enabled"]] == ["eu-de_disabled"]
        assert [name for name, project in found.items() if project["is_domain"]] == [domain]
        _, body = await caller.call("GET", "/v3/projects", params={"name": "eu-nl"})
        assert [project["id"] for project in body["projects"]] == [found["eu-nl"]["id"]]


async def test_nobody_signs_in_to_what_is_no_usable_project() -> None:
    """A disabled one and a domain are refused; another region's gets a token whose catalog has no SDRS."""
    async with running(projects=1, decoys=True) as caller:
        for name, project in (await decoys(caller)).items():
            body = sign_in(caller.sim, {"project": {"id": project["id"]}})
            status, answer = await caller.call("POST", "/v3/auth/tokens", json=body)
            assert caller.sim.log[-1].project_id == project["id"]
            if project["enabled"] and not project["is_domain"]:
                assert (status, [service["type"] for service in answer["token"]["catalog"]]) == (201, ["identity"])
            else:
                assert (status, name) in {(401, "eu-de_disabled"), (401, "simulated-domain")}


async def test_sdrs_calls_for_what_is_not_here_are_refused_by_the_gateway() -> None:
    """Another region: the token must be updated, a signature is at the wrong place. Disabled: unavailable."""
    clock = Clock()
    async with running(projects=1, decoys=True, clock=clock) as caller:
        found = {}
        for name, project in (await decoys(caller)).items():
            path = f"/v1/{project['id']}/server-groups"
            answers = await caller.call("GET", path), await signed(caller.sim, key_of(caller.sim), path, clock=clock)
            found[name] = [(status, body.get("error_code") or body["error"]["code"]) for status, body in answers]
        elsewhere = [(401, "APIGW.0307"), (403, "APIGW.0801")]
        assert found == {
            "eu-de_disabled": [(403, "APIGW.0310")] * 2,
            "simulated-domain": [(400, "SDRS.0001")] * 2,
            "MOS": elsewhere,
            "eu-nl": elsewhere,
            "eu-nl_x": elsewhere,
        }
        token = await buy(caller, {"project": {"name": "eu-nl"}})
        path = f"/v1/{(await decoys(caller))['eu-nl']['id']}/server-groups"
        status, body = await caller.call("GET", path, headers={"X-Auth-Token": token})
        assert (status, body["error_code"]) == (401, "APIGW.0307")


def test_what_the_account_has_follows_from_the_seed() -> None:
    """The same again for the same seed, and nothing of it in the environment, which holds one of each kind."""
    one, again, other = Simulator(seed=3), Simulator(seed=3), Simulator(seed=4)
    assert one.application_credential == again.application_credential != other.application_credential
    assert one.agency == again.agency
    values = set(one.environment.values())
    assert not values & {*one.application_credential, *one.temporary_key}
