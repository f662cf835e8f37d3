import aiohttp
from yarl import URL

from tests.support.aioresponses_compat import mocked

GROUP = "https://sdrs.example.com/v1/p1/task-center/failure-jobs/batch"


async def test_a_delete_is_answered() -> None:
    """A DELETE laid out with 204 is answered with it through a real session, and was seen once."""
    with mocked() as answers:
        answers.delete(GROUP, status=204)
        async with aiohttp.ClientSession() as session, session.delete(GROUP) as response:
            assert response.status == 204
            assert await response.read() == b""
    assert len(answers.requests["DELETE", URL(GROUP)]) == 1


async def test_an_error_body_and_headers_arrive() -> None:
    """The payload and the headers of an answer are those that the test laid out."""
    body = {"error_code": "SDRS.1013", "error_msg": "The protection group does not exist."}
    with mocked() as answers:
        answers.delete(GROUP, status=400, payload=body, headers={"X-Request-Id": "r-1"})
        async with aiohttp.ClientSession() as session, session.delete(GROUP) as response:
            assert response.status == 400
            assert response.headers["X-Request-Id"] == "r-1"
            assert await response.json() == body
