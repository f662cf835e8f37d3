"""Credentials."""

from __future__ import annotations

from typing import Any

import pytest

from sdrs_async.auth import Auth, StaticToken
from sdrs_async.errors import ConfigError
from sdrs_async.models import Request

REQUEST = Request("DELETE", "https://sdrs.test/v1")


async def test_a_static_token_goes_beside_every_request() -> None:
    """The same header for every project."""
    auth: Auth = StaticToken("MII-abc+/=")
    assert await auth.sign(REQUEST, "p1") == await auth.sign(REQUEST, "p2") == {"X-Auth-Token": "MII-abc+/="}


async def test_a_static_token_cannot_be_renewed() -> None:
    """A refusal is final, and does not change what is sent for other projects."""
    auth = StaticToken("abc")
    headers = await auth.sign(REQUEST, "p1")
    assert not auth.invalidate("p1", headers)
    assert await auth.sign(REQUEST, "p2") == {"X-Auth-Token": "abc"}


@pytest.mark.parametrize(
    "token", ["", None, " ", "abc\n", "abc\r\nX-Evil: 1", "a b", "a\tb", "tok\u00e9n", "a\x00b", "a\x7f"]
)
def test_what_no_token_looks_like_is_refused(token: Any) -> None:
    """A line break of the file it was read from, or nothing at all, is said before anything is sent."""
    with pytest.raises(ConfigError, match="the token is empty or holds characters") as caught:
        StaticToken(token)
    assert "X-Evil" not in str(caught.value)


def test_a_token_is_not_shown() -> None:
    """Neither repr nor text of a credential shows it."""
    auth = StaticToken("top-secret")
    assert "top-secret" not in f"{auth} {auth!r} {[auth]}"
