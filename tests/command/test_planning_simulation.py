"""`plan --simulate`: what a plan would come to against a gateway, in words and as JSON; nothing is sent."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sdrs_async.accounts.account import Account
from sdrs_async.cleanup.plan import Plan
from sdrs_async.cleanup.spool import Spool
from sdrs_async.command.app import app
from sdrs_async.command.planning import simulate, simulation_json
from sdrs_async.credentials.keys import StaticToken
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Target
from sdrs_async.simulator import Simulator
from tests.command.test_inputs_accounts import Clouds
from tests.support.command import finished, process


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The arguments of a plan for a list of three projects with a hundred groups each; nobody answers there."""
    monkeypatch.setenv("OS_TOKEN", "a-token")
    path = tmp_path / "targets"
    path.write_text("".join(f"p{project}/g{number}\n" for project in range(3) for number in range(100)), "utf-8")
    return ["plan", "--targets", str(path), "--any-ids", "--endpoint", "http://127.0.0.1:9", "--allow-http"]


def _run(args: list[str], *more: str) -> Any:
    return CliRunner().invoke(app, [*args, *more])


def _simulation(args: list[str], *more: str) -> dict[str, Any]:
    result = _run(args, "--simulate", "--quiet", "--json", "-", *more)
    assert result.exit_code == 0, result.stderr
    simulation: dict[str, Any] = json.loads(result.stdout)["simulation"]
    return simulation


def test_without_a_gateway_it_has_the_limits_that_are_configured(listed: list[str]) -> None:
    """The run keeps to them, so that nothing is throttled and nothing learned, and it takes about its floor."""
    flags = ["--user-rate", "200/5min burst 50", "--project-rate", "none"]
    found = _simulation(listed, *flags)
    assert found["gateways"] == ["user=200/5min", "user=50/s", "endpoint=200/s"]
    assert found["requests"] == {"sent": 300, "throttled": 0}
    assert (found["failed"], found["extrapolated"], found["learned"]) == (0, False, [])
    assert 301 < found["duration_s"] < 310
    assert found["accounts"] == [
        {"name": "OS_TOKEN", "duration_s": found["duration_s"], "targets": 300, "requests": found["requests"]}
    ]
    text = " ".join(_run(listed, "--simulate", *flags).stdout.split())
    assert "Simulated against a gateway with the limits user=200/5min user=50/s endpoint=200/s Takes 5 min 0" in text
    assert "Requests 300, of which 0 are throttled (429)" in text
    assert "would learn" not in text


def test_a_gateway_shows_what_would_be_learned(listed: list[str]) -> None:
    """A limit that nobody configured is met, told and kept to; the plan offers the flag for it."""
    gateway = ["--gateway", "user=100/min", "--gateway", "endpoint=150/s window=fixed"]
    found = _simulation(listed, *gateway)
    assert found["gateways"] == ["user=100/min", "endpoint=150/s window=fixed"]
    assert 0 < found["requests"]["throttled"] == found["requests"]["sent"] - 300
    assert found["learned"] == [
        {"scope": "user", "account": "OS_TOKEN", "rate": "100/min", "told": True, "projects": 0}
    ]
    assert 119 < found["duration_s"] < 130
    text = " ".join(_run(listed, "--simulate", *gateway).stdout.split())
    assert "What the run would learn of these limits User rate of OS_TOKEN: 100/min, as its 429 says" in text
    assert "--user-rate 100/min" in text


def test_groups_whose_time_runs_out_are_named(listed: list[str]) -> None:
    """Where throttling goes on for longer than a group may take, it fails, and the forecast says so."""
    flags = ["--gateway", "user=1/min", "--retry-time", "90"]
    found = _simulation(listed, *flags)
    assert found["failed"] > 0
    assert "whose time (--retry-time) runs out" in " ".join(_run(listed, "--simulate", *flags).stdout.split())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--simulate", "--gateway", "user=200/5parsec"], "error: --gateway: gateway 'user=200/5parsec' is not"),
        (["--simulate", "--gateway", "user=9/s", "--gateway", ""], "error: --gateway: gateway '' is not understood"),
        (["--simulate", "--gateway", "user=9/s window=oval"], "error: --gateway: window 'oval' is not known"),
        (["--gateway", "user=9/s"], "error: --gateway is what --simulate runs against: add --simulate"),
    ],
)
def test_a_gateway_that_is_none_is_refused(listed: list[str], flags: list[str], message: str) -> None:
    """One line with what is wrong, exit code 2, before anything is sent."""
    result = _run(listed, *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


async def test_a_fleet_is_simulated_account_by_account(tmp_path: Path) -> None:
    """The file's own limits hold, each account ends when it ends, and what would be learned are lines for the file."""
    first, second = Simulator(projects=2, groups=3), Simulator(projects=2, groups=5, seed=7)
    async with first, second:
        clouds = Clouds(first, second, tmp_path)
        file = clouds.file(second='limits.user_rate = "1/s"')
        flags = ["--simulate", "--gateway", "user=2/s", "--json", str(tmp_path / "plan.json")]
        done = await clouds.run("plan", file, *flags)
    assert done.code == 0, done.stderr
    document = json.loads((tmp_path / "plan.json").read_text("utf-8"))["simulation"]
    one, other = document["accounts"]
    assert (one["name"], one["targets"], other["name"], other["targets"]) == ("first", 6, "second", 10)
    assert one["duration_s"] < 5
    # The lists of its two projects are two requests each as well.
    assert 13 < other["duration_s"] == document["duration_s"] < 14
    assert (document["lists"], document["requests"]["sent"] - document["requests"]["throttled"]) == (True, 24)
    assert "with the lists, of which" in done.stdout
    assert (other["requests"]["throttled"], [lesson["account"] for lesson in document["learned"]]) == (0, ["first"])
    assert '[accounts.first]\n      limits.user_rate = "2/s"' in done.stdout
    assert {entry.method for entry in [*first.log, *second.log]} == {"GET"}


async def test_accounts_that_differ_are_limited_only_by_themselves() -> None:
    """A gateway has the same limits for all: those that the accounts do not share are left to the accounts."""
    accounts = [
        Account(name, "https://host", StaticToken("t"), limits=Limits("5/s", 8, user_rate, "50/s", None))
        for name, user_rate in (("a", "1/s"), ("b", "2/s"))
    ]
    with Spool() as spooled:
        for name in ("a", "b"):
            spooled.add([(name, Target(f"of-{name}", f"g{number}")) for number in range(9)])
        spooled.seal()
        found = simulation_json(await simulate(Plan(accounts, spooled, 64), RetryPolicy(), ()))
    assert found["gateways"] == ["project=5/s", "endpoint=50/s"]
    assert found["requests"] == {"sent": 18, "throttled": 0}
    assert [round(one["duration_s"]) for one in found["accounts"]] == [8, 4]


async def test_ctrl_c_ends_a_simulation_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large one takes seconds of work: the signal does not wait for it; the plan itself is shown."""
    path = tmp_path / "targets"
    path.write_text("".join(f"p{number % 500}/g{number}\n" for number in range(60_000)), "utf-8")
    args = [
        "plan",
        "--targets",
        str(path),
        "--any-ids",
        "--endpoint",
        "http://127.0.0.1:9",
        "--allow-http",
        "--simulate",
    ]
    async with process(*args, token="a-token") as command:
        assert command.stderr is not None
        async for line in command.stderr:
            if line.startswith(b"simulating"):
                break
        command.send_signal(signal.SIGINT)
        done = await finished(command)
    assert done.code == 130
    assert done.stdout.startswith("Plan: 60,000 protection groups in 500 projects.")
    assert "Simulated" not in done.stdout


def test_nothing_simulated_is_logged(listed: list[str]) -> None:
    """A 429 of the model is none of the service, and stands in no log; the forecast counts it."""
    result = _run(listed, "--simulate", "--gateway", "user=100/min", "--log-level", "info")
    assert result.exit_code == 0, result.stderr
    assert "are throttled (429)" in result.stdout
    assert "throttled: " not in result.stderr
