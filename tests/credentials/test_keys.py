"""Credentials."""

from __future__ import annotations

from typing import Any

import pytest

from sdrs_async.auth import Auth, SignInFailed
from sdrs_async.credentials.keys import AkSk, StaticToken
from sdrs_async.errors import ConfigError
from sdrs_async.models import Request, Verdict

REQUEST = Request("DELETE", "https://sdrs.test/v1")
AK, SK, TOKEN = "FAKEAK0123456789ABCD", "FakeSecretKey0123456789abcdefFakeSecret0", "fake-security-token-value"
P, J = "0123456789abcdef0123456789abcdef", "ff808082686f229a0168707beaab014e"
HOST, PATH = "sdrs.eu-de.otc.t-systems.com", f"/v1/{P}/task-center/failure-jobs/{J}"
SIGNED = Request("DELETE", f"https://{HOST}{PATH}", host=HOST, path=PATH)
NOW = 1704164645.75  # 2024-01-02 03:04:05.75 UTC


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


@pytest.mark.parametrize(
    ("verdict", "retryable"),
    [
        (Verdict.UNAUTHORIZED, False),
        (Verdict.THROTTLED, True),
        (Verdict.TRANSIENT, True),
        (Verdict.UNREACHABLE, True),
    ],
)
def test_a_failed_sign_in_says_whether_another_try_may_do_better(verdict: Verdict, retryable: bool) -> None:
    """Only what the credential itself is refused for is final."""
    failure = SignInFailed("no", verdict=verdict, retry_after=2.5)
    assert failure.reply.verdict is verdict
    assert failure.reply.retryable is retryable
    assert (failure.reply.sent, failure.reply.scope, failure.reply.retry_after) == (False, "sign-in", 2.5)


# ---- access keys ----------------------------------------------------------------------------------------------------


async def test_an_access_key_signs_a_request() -> None:
    """The vendor's own vector, with all headers that the signature covers; the time is that of the clock, in UTC."""
    auth: Auth = AkSk(AK, SK, TOKEN, clock=lambda: NOW)
    assert await auth.sign(SIGNED, P) == {
        "Host": HOST,
        "X-Sdk-Date": "20240102T030405Z",
        "X-Project-Id": P,
        "X-Security-Token": TOKEN,
        "Authorization": f"SDK-HMAC-SHA256 Access={AK}, "
        "SignedHeaders=host;x-project-id;x-sdk-date;x-security-token, "
        "Signature=0b99e4237b6565adc2d17a508b0cf37901d2c6ea42dd623965e2bf9dc7d14da5",
    }


async def test_a_permanent_key_at_iam_sends_neither_token_nor_project() -> None:
    """What is not there is neither sent nor signed."""
    headers = await AkSk(AK, SK).sign(SIGNED, "")
    assert set(headers) == {"Host", "X-Sdk-Date", "Authorization"}
    assert "SignedHeaders=host;x-sdk-date," in headers["Authorization"]


async def test_every_try_is_signed_at_its_own_time() -> None:
    """A signature is never used again: the gateway refuses an old one."""
    now = NOW
    auth = AkSk(AK, SK, clock=lambda: now)
    first = await auth.sign(SIGNED, P)
    now += 0.2
    assert await auth.sign(SIGNED, P) == first  # within the same second there is no other
    now += 0.1
    second = await auth.sign(SIGNED, P)
    assert (first["X-Sdk-Date"], second["X-Sdk-Date"]) == ("20240102T030405Z", "20240102T030406Z")
    assert first["Authorization"] != second["Authorization"]


async def test_the_older_form_is_chosen_by_its_scope() -> None:
    """Region and service, empty as well, select the form that Open Telekom Cloud used first."""
    headers = await AkSk(AK, SK, scope=("", ""), clock=lambda: NOW).sign(SIGNED, P)
    assert f"Credential={AK}/20240102///sdk_request, " in headers["Authorization"]


async def test_a_refused_key_is_not_tried_again() -> None:
    """All projects share it, and the gateway locks it: the first refusal is the last request."""
    auth = AkSk(AK, SK)
    assert auth.one_key
    assert not auth.invalidate(P, await auth.sign(SIGNED, P))


@pytest.mark.parametrize("key", ["", " ", "ab\n", "a b", "a\tb", "k\u00e9y", "a\x00b", b"abc"])
@pytest.mark.parametrize(("place", "name"), [(0, "the access key"), (1, "the secret key"), (2, "the security token")])
def test_what_cannot_be_a_key_is_refused(key: Any, place: int, name: str) -> None:
    """The message says which of them it is, and shows none."""
    keys = [AK, SK, TOKEN]
    keys[place] = key
    with pytest.raises(ConfigError, match=f"^{name} is empty or holds") as caught:
        AkSk(*keys)
    assert not any(value in str(caught.value) for value in (AK, SK, TOKEN))


async def test_keys_are_not_shown() -> None:
    """No repr shows one, nor that of what holds it."""
    auth = AkSk(AK, SK, TOKEN)
    await auth.sign(SIGNED, P)
    assert f"{auth} {[auth]}" == f"AkSk({AK[:4]}...) [AkSk({AK[:4]}...)]"
    assert [repr(AkSk(key, SK)) for key in ("ABCDEFGH", "ABCD", "A")] == ["AkSk(ABCD...)", "AkSk(AB...)", "AkSk(...)"]
    assert SK not in str(vars(auth))
    assert TOKEN not in str(vars(auth))
    assert TOKEN not in str(vars(StaticToken(TOKEN)))
