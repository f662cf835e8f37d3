"""Signed requests over real sockets: which get in, whose key is locked, and temporary keys."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from sdrs_async.simulator import Simulator
from sdrs_async.simulator.account import Key
from sdrs_async.simulator.signature import SignedRequest, sign

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

NOON = datetime(2024, 1, 2, 12, tzinfo=UTC).timestamp()


class Clock:
    """The time of a server, which stands still."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def key_of(sim: Simulator) -> Key:
    """The permanent key."""
    return Key(sim.environment["HUAWEICLOUD_SDK_AK"], sim.environment["HUAWEICLOUD_SDK_SK"])


async def signed(
    sim: Simulator,
    key: Key,
    path: str | None = None,
    *,
    clock: Callable[[], float],
    old: bool = False,
    method: str = "GET",
    extra: dict[str, str] | None = None,
) -> tuple[int, Any]:
    """Status and JSON of one signed request, by default the list of the first project's groups."""
    path, _, query = (path or f"/v1/{sim.targets[0][0]}/server-groups?limit=2&name=g%20").partition("?")
    date = f"{datetime.fromtimestamp(clock(), UTC):%Y%m%dT%H%M%SZ}"
    scope = f"{date[:8]}/eu-de/sdrs/sdk_request" if old else None
    names = ["host", "x-sdk-date"]
    headers = CIMultiDict({"Host": sim.url.removeprefix("http://"), "X-Sdk-Date": date, **(extra or {})})
    if key.security_token is not None:
        headers["X-Security-Token"] = key.security_token
    signature = sign(SignedRequest(method, path, query, headers), names, key.secret_key, scope)
    name = f"Credential={key.access_key}/{scope}" if old else f"Access={key.access_key}"
    headers["Authorization"] = f"SDK-HMAC-SHA256 {name}, SignedHeaders={';'.join(names)}, Signature={signature}"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{sim.url}{path}?{query}".rstrip("?"), headers=headers) as answer,
    ):
        return answer.status, await answer.json() if method != "HEAD" else None


@pytest.mark.parametrize("old", [False, True])
async def test_a_signed_request_gets_in_and_a_badly_signed_one_does_not(old: bool) -> None:
    """In either form, with the port in the host and a query; the log names the key, and the user where it got in."""
    clock = Clock()
    async with Simulator(clock=clock) as sim:
        key = key_of(sim)
        assert (await signed(sim, key, clock=clock, old=old))[0] == 200
        status, body = await signed(sim, key._replace(secret_key="wrong"), clock=clock, old=old)
        assert (status, body["error_code"]) == (401, "APIGW.0301")
        assert "canonicalRequest:GET|/v1/" in body["error_msg"]
        assert [entry.user for entry in sim.log] == [sim.environment["OS_USERNAME"], None]
        assert {entry.credential for entry in sim.log} == {key.access_key}


async def test_iam_takes_signatures_too() -> None:
    """For its lists, with GET and HEAD, as the vendor's client looks up the project of a region."""
    clock = Clock()
    async with Simulator(clock=clock) as sim:
        key = key_of(sim)
        status, body = await signed(sim, key, "/v3/projects?name=eu-de", clock=clock)
        assert (status, [project["id"] for project in body["projects"]]) == (200, [sim.targets[0][0]])
        assert (await signed(sim, key, "/v3/projects?name=eu-de", clock=clock, method="HEAD"))[0] == 200
        assert (await signed(sim, key, "/v3/auth/projects", clock=clock))[0] == 200
        status, body = await signed(sim, key._replace(secret_key="wrong"), "/v3/auth/projects", clock=clock)
        assert (status, body["error"]["code"]) == (401, 401)
        assert (await signed(sim, key, f"/v1/{sim.targets[0][0]}/server-groups", clock=clock, method="HEAD"))[0] == 404


async def test_a_signature_is_good_for_every_project() -> None:
    """Whatever `X-Project-Id` says: what it means where it differs from the path is not known."""
    clock = Clock()
    async with Simulator(clock=clock) as sim:
        path = f"/v1/{sim.targets[-1][0]}/server-groups"
        other = {"X-Project-Id": sim.targets[0][0]}
        assert (await signed(sim, key_of(sim), path, clock=clock, extra=other))[0] == 200


async def test_unknown_keys_and_other_forms_are_told_apart() -> None:
    """Both are 401; a key that is not known is never locked."""
    clock = Clock()
    async with Simulator(clock=clock) as sim, aiohttp.ClientSession() as session:
        for _ in range(7):
            status, body = await signed(sim, Key("OTHER", "x"), clock=clock)
            assert (status, body["error_msg"].rpartition(", ")[2]) == (401, "AK not found")
        headers = {"Authorization": "SDK-HMAC-SHA256 Credential=x"}
        async with session.get(f"{sim.url}/v1/{sim.targets[0][0]}/server-groups", headers=headers) as answer:
            assert "wrong form" in (await answer.json())["error_msg"]
        assert (sim.locked_keys, sim.log[-1].credential, sim.log[0].credential) == ([], None, "OTHER")


async def test_the_date_of_a_signature_is_held_against_the_server_s_clock() -> None:
    """Whose time its answers tell, in the message and in their Date."""
    clock = Clock()
    async with Simulator(clock=clock) as sim, aiohttp.ClientSession() as session:
        status, body = await signed(sim, key_of(sim), clock=lambda: NOON - 901)
        assert (status, "signature expired" in body["error_msg"]) == (401, True)
        async with session.get(f"{sim.url}/v3") as answer:
            assert answer.headers["Date"] == "Tue, 02 Jan 2024 12:00:00 GMT"


async def test_more_than_five_wrong_signatures_in_a_row_lock_their_key() -> None:
    """For five minutes even right ones are refused; then, as after a reset, the count starts at nothing."""
    clock = Clock()
    async with Simulator(clock=clock) as sim:
        key = key_of(sim)
        wrong = key._replace(secret_key="wrong")

        async def fail(times: int) -> None:
            for _ in range(times):
                status, body = await signed(sim, wrong, clock=clock)
                assert (status, "signature fail" in body["error_msg"]) == (401, True)

        await fail(5)
        assert (await signed(sim, key, clock=clock))[0] == 200  # a right one: the count starts again
        await fail(5)
        assert sim.locked_keys == []
        await fail(1)
        assert sim.locked_keys == [key.access_key]
        for one in (key, wrong):
            status, body = await signed(sim, one, clock=clock)
            assert (status, body["error_code"]) == (401, "APIGW.0301")
            assert "AK access failed to reach the limit" in body["error_msg"]
        assert (await signed(sim, sim.temporary_key, clock=clock))[0] == 200  # another key is another count
        clock.now += 299.9
        assert (await signed(sim, key, clock=clock))[0] == 401
        clock.now += 0.2
        assert sim.locked_keys == []
        assert (await signed(sim, key, clock=clock))[0] == 200
        await fail(6)
        sim.reset()
        await fail(5)
        sim.reset()
        await fail(5)
        assert sim.locked_keys == []
        assert (await signed(sim, key, clock=clock))[0] == 200


async def test_every_kind_of_failed_signature_counts() -> None:
    """A date too far away and a wrong security token, at IAM and SDRS alike."""
    clock = Clock()
    async with Simulator(clock=clock) as sim:
        bad = sim.temporary_key._replace(security_token="wrong")
        for _ in range(3):
            assert (await signed(sim, sim.temporary_key, clock=lambda: NOON + 1000))[0] == 401
            assert (await signed(sim, bad, "/v3/auth/projects", clock=clock))[0] == 401
        assert sim.locked_keys == [sim.temporary_key.access_key]


@pytest.mark.parametrize("security_token", [None, "", "wrong"])
async def test_a_temporary_key_needs_its_security_token(security_token: str | None) -> None:
    """Missing or wrong: 401. It need not be among the signed headers."""
    clock = Clock()
    async with Simulator(clock=clock) as sim:
        assert (await signed(sim, sim.temporary_key, clock=clock))[0] == 200
        status, body = await signed(sim, sim.temporary_key._replace(security_token=security_token), clock=clock)
        assert status == 401
        assert re.search("security token", body["error_msg"])
        assert Simulator().temporary_key == sim.temporary_key != Simulator(seed=1).temporary_key
