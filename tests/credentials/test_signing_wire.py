"""What is signed is what goes out: the bytes on the socket against the signature that they carry."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sdrs_async.cloud.calls import failures_page, groups_page, projects_page
from sdrs_async.cloud.client import Client
from sdrs_async.credentials.keys import AkSk
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Call, Listing, ProjectLevel, Target, Verdict
from sdrs_async.simulator.signature import SignedRequest, claim_of, refusal
from tests.support.raw_server import Connection, answer, serving

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

AK, SK, TOKEN = "FAKEAK0123456789ABCD", "FakeSecretKey0123456789abcdefFakeSecret0", "fake-token+/=="
NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def parse(head: bytes) -> SignedRequest:
    """A request as its bytes have it, undecoded."""
    lines = head.decode().split("\r\n")
    method, target, _ = lines[0].split(" ")
    path, _, query = target.partition("?")
    headers: dict[str, str] = {}
    for name, value in (line.split(": ", 1) for line in lines[1:] if line):
        assert name.lower() not in headers, f"{name} went out twice"
        headers[name.lower()] = value
    return SignedRequest(method, path, query, headers)


def refused(request: SignedRequest) -> str | None:
    """Why an independent check refuses a request."""
    claim = claim_of(request.headers["authorization"])
    assert claim is not None
    assert claim.access_key == AK
    return refusal(request, claim, SK, NOW)


async def sent(
    call: Call, token: str | None = None, *, prefix: str = "", scope: tuple[str, str] | None = None
) -> SignedRequest:
    """What goes out for a call, signed at `NOW`."""

    async def empty(connection: Connection, head: bytes) -> bytes:
        return answer(200, b"{}")

    auth = AkSk(AK, SK, token, scope=scope, clock=NOW.timestamp)
    async with serving(empty) as server:
        url = server.url + prefix
        async with Client(url, auth, limits=Limits(), retry=RetryPolicy(), iam_endpoint=url) as client:
            reply = await client.send(call, 5.0)
        assert reply.verdict in (Verdict.DELETED, Verdict.READ), reply
        (head,) = server.arrivals
        request = parse(head)
        assert request.headers["host"] == f"127.0.0.1:{server.port}"
    return request


@pytest.mark.parametrize(
    ("call", "target"),
    [
        (Target("p1", "g1"), "/v1/p1/task-center/g1/failure-jobs/batch"),
        (Target("p~1", "g~ü+1"), "/v1/p~1/task-center/g~%C3%BC%2B1/failure-jobs/batch"),
        (Target("ü", "a:b@c,d=e&f"), "/v1/%C3%BC/task-center/a%3Ab%40c%2Cd%3De%26f/failure-jobs/batch"),
        (Target("p.1", "g(1)*'$!"), "/v1/p.1/task-center/g%281%29%2A%27%24%21/failure-jobs/batch"),
        (ProjectLevel("p|1"), "/v1/p%7C1/task-center/failure-jobs/batch"),
        (groups_page("ü"), None),
        (failures_page("p1", "g+ü"), None),
        (failures_page("p1", None), None),
        (projects_page(), None),
        (projects_page("enabled=true&domain_id=d"), None),
        (Listing("/v1/p1/a+b:c%c3%bc%7e", "b=a+b&a=%7e", "p1"), "/v1/p1/a+b:c%c3%bc%7e"),
        (Listing("/v1/p1/server-groups", "name=a%20b%2Bc%2F%C3%BC~%2A&limit=50&A=1&a=&b", "p1"), None),
    ],
)
@pytest.mark.parametrize("scope", [None, ("", ""), ("eu-de", "sdrs")])
async def test_the_signature_fits_the_bytes(call: Call, target: str | None, scope: tuple[str, str] | None) -> None:
    """Host with its port, the path's encoding and the query in its order: an independent check accepts what arrived."""
    request = await sent(call, scope=scope)
    assert target is None or target == request.path
    assert refused(request) is None


async def test_the_signature_covers_project_and_security_token() -> None:
    """With temporary keys, token and project are signed with the rest, and go out once."""
    request = await sent(Target("p1", "g1"), TOKEN)
    assert request.headers["x-security-token"] == TOKEN
    assert request.headers["x-project-id"] == "p1"
    assert "SignedHeaders=host;x-project-id;x-sdk-date;x-security-token," in request.headers["authorization"]
    assert refused(request) is None


async def test_a_call_of_the_account_itself_names_no_project() -> None:
    """The list of projects is read at IAM, where a project's id would narrow it."""
    request = await sent(projects_page())
    assert "x-project-id" not in request.headers
    assert "SignedHeaders=host;x-sdk-date," in request.headers["authorization"]


async def test_the_path_of_an_endpoint_is_signed_too() -> None:
    """A gateway behind a path of its own sees, and checks, the whole of it."""
    request = await sent(Target("p1", "g1"), prefix="/gate~way")
    assert request.path == "/gate~way/v1/p1/task-center/g1/failure-jobs/batch"
    assert refused(request) is None


async def test_what_is_not_signed_is_not_the_requests_own() -> None:
    """Beside the signed headers goes only what any HTTP client adds: a proxy that changes it does no harm."""
    request = await sent(Target("p1", "g1"), TOKEN)
    names = request.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    added = {"accept", "accept-encoding", "content-length", "user-agent"}
    assert set(request.headers) - set(names) == {"authorization", *added}


@pytest.mark.parametrize("part", ["method", "path", "query", "host", "x-project-id", "x-security-token", "x-sdk-date"])
async def test_a_change_on_the_way_is_noticed(part: str) -> None:
    """The check has teeth: any signed part changed by one character is refused."""
    request = await sent(failures_page("p1", "g1"), TOKEN)
    fields = request._asdict()
    place = dict(request.headers) if part in request.headers else fields
    place[part] = place[part].replace("1", "2", 1) if "1" in place[part] else f"{place[part]}x"
    changed = SignedRequest(**{**fields, "headers": place} if part in request.headers else place)
    assert refused(request) is None
    assert refused(changed) is not None
