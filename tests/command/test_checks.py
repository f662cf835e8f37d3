"""`doctor` as it is printed, and its exit codes."""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import Any

import pytest

from sdrs_async.accounts.account import Account
from sdrs_async.command.checks import run_checks
from sdrs_async.credentials.keys import AkSk
from sdrs_async.errors import ConfigError
from sdrs_async.limits import Limits
from sdrs_async.simulator import Fault, Simulator

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

WRONG_SECRET = "never-to-be-seen-0123456789"


def account(sim: Simulator, name: str = "prod", *, secret: str | None = None, **more: Any) -> Account:
    """An account of the simulator, with its secret key or another."""
    env = sim.environment
    auth = AkSk(env["HUAWEICLOUD_SDK_AK"], secret or env["HUAWEICLOUD_SDK_SK"])
    given = {"iam_endpoint": sim.url, "region": "eu-de", "limits": Limits(None, 8, None, None, 64), **more}
    return Account(name, given.pop("endpoint", sim.url), auth, **given)


async def test_an_account_without_fault_is_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    """Its host first, then a line per check, then what it comes to; nothing on stderr, and no colours in a file."""
    async with Simulator(projects=3, groups=4) as sim:
        assert await run_checks([account(sim)]) == 0
        shown = capsys.readouterr()
        lines = shown.out.splitlines()
        assert lines[0] == f"prod  {sim.url}"
        assert [[line[2:11].strip(), line[11:28].strip()] for line in lines[1:9]] == [
            [state, name]
            for state, name in (
                ("pass", "endpoint"), ("skipped", "TLS"), ("pass", "clock"), ("pass", "IAM"), ("pass", "credential"),
                ("pass", "project listing"), ("pass", "group listing"), ("pass", "latency"),
            )
        ]  # fmt: skip
        assert lines[6].split("listing", 1)[1].strip() == "3 projects, 3 usable in eu-de"
        assert lines[9:] == ["", "1 account examined: nothing to mend (exit code 0)"]
        assert (shown.err, "\x1b" in shown.out) == ("", False)


async def test_a_wrong_key_is_exit_code_3(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Account and remedy are named, on lines of 80 columns; the key is in none of what is written."""
    caplog.set_level(logging.DEBUG)
    async with Simulator() as sim:
        assert await run_checks([account(sim, secret=WRONG_SECRET)]) == 3
        assert len([entry for entry in sim.log if entry.route != "list_versions"]) == 1
    shown = capsys.readouterr().out
    assert "  FAIL     credential       REFUSED: 401: " in shown
    assert "-> Check access key and secret key." in shown
    assert "  skipped  group listing    nobody is signed in" in shown
    assert "1 account examined: 1 check failed, no account could sign in (exit code 3)" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert WRONG_SECRET not in shown + caplog.text


async def test_one_of_two_accounts_that_is_broken_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    """The other one passes, below its own name."""
    async with Simulator() as sim:
        assert await run_checks([account(sim, "bad", secret=WRONG_SECRET), account(sim, "good")]) == 1
    bad, good, result = capsys.readouterr().out.split("\n\n")
    assert (bad[:5], bad.count("FAIL"), good[:5], good.count("FAIL")) == ("bad  ", 1, "good ", 0)
    assert result == "2 accounts examined: 1 check failed (exit code 1)\n"


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ({"endpoint": "http://127.0.0.1:1"}, 1),  # the credential is good
        ({"endpoint": "http://127.0.0.1:1", "iam_endpoint": "http://127.0.0.1:1"}, 1),  # it may be
        ({"region": "eu-nl"}, 1),
    ],
)
async def test_whatever_else_fails_is_exit_code_1(broken: dict[str, str], code: int) -> None:
    """3 is for credentials."""
    async with Simulator() as sim:
        assert await run_checks([account(sim, **broken)]) == code


async def test_no_account_that_could_sign_in_is_exit_code_3() -> None:
    """One refused, and of the other nobody knows."""
    async with Simulator() as sim:
        other = account(sim, "other", iam_endpoint="http://127.0.0.1:1")
        assert await run_checks([account(sim, secret=WRONG_SECRET), other]) == 3


async def test_a_given_project_is_examined(capsys: pytest.CaptureFixture[str]) -> None:
    """The options reach the examination."""
    async with Simulator(projects=2, groups=3) as sim:
        project_id = sim.targets[-1][0]
        assert await run_checks([account(sim)], project_id=project_id) == 0
    assert f"group listing    project {project_id}: 3 groups" in capsys.readouterr().out


async def test_what_a_server_says_is_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """No markup, nothing that steers the terminal, and no more of it than is worth reading; names neither."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    body = {"error_code": "APIG.0304", "error_msg": f"[bold]no[/] \x1b[31m{'x' * 400}"}
    async with Simulator(faults=[Fault("status", status=403, body=body, route="list_groups")]) as sim:
        assert await run_checks([account(sim, "[red]prod\x1b")]) == 1
    shown = capsys.readouterr().out
    assert "[red]prod?" in shown
    assert "[bold]no[/]" in shown.replace("\n", "")
    assert "\x1b[31mx" not in shown
    assert shown.count("x") < 250
    assert "\x1b[1;31mFAIL" in shown


async def test_a_reader_who_has_seen_enough_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """`doctor | head -1`: the exit code is that of the checks."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        async with Simulator() as sim:
            assert await run_checks([account(sim, secret=WRONG_SECRET)]) == 3


async def test_a_stdout_that_is_full_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result could not be told."""
    with io.TextIOWrapper(open("/dev/full", "wb", buffering=0), write_through=True) as stdout:  # noqa: ASYNC230 - a device, closed with its wrapper
        monkeypatch.setattr(sys, "stdout", stdout)
        async with Simulator() as sim:
            with pytest.raises(ConfigError, match="stdout cannot be written"):
                await run_checks([account(sim)])


async def test_what_cannot_be_used_is_a_configuration_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is sent, and nothing printed."""
    async with Simulator() as sim:
        with pytest.raises(ConfigError, match="account prod: "):
            await run_checks([account(sim, endpoint="http://sdrs.test")])
        assert sim.log == []
    assert capsys.readouterr().out == ""
