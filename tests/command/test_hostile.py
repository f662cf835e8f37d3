"""The command where things go wrong around it: what is said then, and that nothing is called done that is not."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE

import pytest

from sdrs_async.accounts.account import Pending
from sdrs_async.accounts.connecting import Connection
from sdrs_async.auth import SignInFailed
from sdrs_async.credentials.keys import StaticToken
from sdrs_async.errors import AuthenticationError
from sdrs_async.formats import wording
from sdrs_async.limits import RetryPolicy
from sdrs_async.models import Verdict
from sdrs_async.report import Ledger, Unlisted
from tests.support.command import Done, finished


async def test_a_half_installed_extra_is_named() -> None:
    """typer and rich, which others bring too, do not make the extra `cli`: one line, exit code 2."""
    code = "import sys; sys.modules['msgspec'] = None; from sdrs_async.command.cli import main; main()"
    command = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    expected = "error: the command needs its extra: pip install 'sdrs-async[cli]'\n"
    assert await finished(command) == Done(2, "", expected)


@pytest.mark.parametrize(
    ("verdict", "message", "remedy"),
    [
        (Verdict.UNREACHABLE, "no route", "Check auth_url, DNS, proxy and firewall"),
        (Verdict.UNREACHABLE, "certificate verify failed", "give its CA with --ca-file"),
        (Verdict.THROTTLED, "429", "IAM itself throttles: wait a minute, then run again."),
        (Verdict.UNAUTHORIZED, "wrong password", None),
    ],
)
async def test_why_nobody_signed_in_comes_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, verdict: Verdict, message: str, remedy: str | None
) -> None:
    """Not being let in speaks for itself; anything else says what to do. The report that comes with it knows too."""

    async def fails(self: Pending, retry: RetryPolicy, projects: object = ()) -> None:
        raise SignInFailed(message, verdict=verdict)

    monkeypatch.setattr(Pending, "resolve", fails)
    connection = Connection([Pending("prod", "sign-in", StaticToken("a"), None)], RetryPolicy())
    with pytest.raises(AuthenticationError) as caught:
        await connection.resolve({})
    text = str(caught.value)
    assert text.startswith(f"prod: {message}")
    assert (text == f"prod: {message}") if remedy is None else (remedy in text)
    report = caught.value.report
    assert report is not None
    assert list(report.refused_accounts) == ["prod"] * (remedy is None)
    assert [one.verdict for one in report.discovery.failed] == [verdict] * (remedy is not None)


def test_a_refused_account_is_told_once() -> None:
    """Its list of projects is missing too, but that is no news; lists of others are."""
    report = Ledger()
    report.add_access(False, False, {"prod": "wrong key"})
    report.discovery.add(Unlisted(None, "prod", Verdict.UNAUTHORIZED, 401, message="wrong key"))
    report.discovery.add(Unlisted(None, "test", Verdict.TRANSIENT, 503))
    report.discovery.add(Unlisted("p1", "prod", Verdict.FORBIDDEN, 403))
    gaps, _ = wording.unlisted(report.to_dict())
    assert sorted(name for gap in gaps for name in gap.names) == ["account test", "project p1 of account prod"]
    assert len(report.to_dict()["discovery"]["failed"]) == 3
