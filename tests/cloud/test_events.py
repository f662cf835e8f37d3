"""What a run logs at level INFO: each failure, each sign-in, each limit met, and each of its two ends."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from sdrs_async.cloud.events import failed, sign_in_failed, signed_in
from sdrs_async.limits import Rate
from sdrs_async.models import Outcome, ProjectLevel, Reply, Target, Verdict
from sdrs_async.simulator import Fault, Simulator
from tests.support.command import arguments, run
from tests.support.engine_runs import DELETED, FREE, Service, fleet, refused, settle

FORBIDDEN = Reply(Verdict.FORBIDDEN, 403, "SDRS.0013", "no permission", "req-1")
FULL = Reply(Verdict.THROTTLED, 429, "APIGW.0308", "slow down", "req-2", scope="user", told=Rate(5, 10.0))


def said(caplog: pytest.LogCaptureFixture, event: str) -> list[tuple[str, dict[str, Any]]]:
    """The records of an event: their lines, and what they have as attributes."""
    records = [record for record in caplog.records if getattr(record, "event", "") == event]
    assert all((record.name, record.levelname) == ("sdrs_async", "INFO") for record in records)
    return [(record.getMessage(), vars(record)) for record in records]


def facts(record: dict[str, Any], *names: str) -> list[Any]:
    """Some of the attributes of a record."""
    return [record[name] for name in names]


@pytest.fixture(autouse=True)
def _at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sdrs_async")


def test_each_failure_is_a_record(caplog: pytest.LogCaptureFixture) -> None:
    """Who, what, and the id that the support asks for; what went well is none, nor what was never sent."""
    service = Service(lambda target, nth: FORBIDDEN if target.project_id == "p1" else DELETED)
    settle(service, fleet(2, 20), FREE)
    records = said(caplog, "failed")
    assert {record["project_id"] for _, record in records} == {"p1"}
    assert {f"g{number}" for number in range(5)} <= {record["server_group_id"] for _, record in records}
    line, first = records[0]
    assert line == "failed: project p1 of user, group g0: forbidden 403 SDRS.0013 (request req-1): no permission"
    names = ("account", "verdict", "status_code", "error_code", "request_id", "reason", "attempts")
    assert facts(first, *names) == ["user", "forbidden", 403, "SDRS.0013", "req-1", "no permission", 1]
    [(line, _)] = said(caplog, "stopped")
    left = 20 - len(records)
    assert line == f"stopped: project p1 of user, {left} left: not sent: 5 answers of this project were all forbidden"


def test_a_sign_in_in_words(caplog: pytest.LogCaptureFixture) -> None:
    """That it went well and for how long, or why it did not; without a project it is the account itself."""
    signed_in("p0", "prod", 3600.04)
    signed_in("", "prod", math.inf)
    sign_in_failed("p2", "prod", refused(Verdict.FORBIDDEN, "no role in p2"))
    assert [(line, record["seconds"]) for line, record in said(caplog, "signed_in")] == [
        ("signed in: project p0 of prod, good for 3,600 s", 3600.04),
        ("signed in: prod, good for as long as it is used", None),
    ]
    [(line, record)] = said(caplog, "sign_in_failed")
    assert line == "sign-in failed: project p2 of prod: forbidden: no role in p2"
    assert facts(record, "account", "project_id", "verdict") == ["prod", "p2", "forbidden"]


def test_each_limit_met_is_a_record(caplog: pytest.LogCaptureFixture) -> None:
    """The scope, the wait, and the limit, where the server tells it or it is found; of one cause once."""
    service = Service(lambda target, nth: FULL if target.server_group_id == "g5" and nth == 1 else DELETED)
    settle(service, fleet(1, 12), FREE)
    [(line, record)] = said(caplog, "throttled")
    assert line.startswith("throttled: every project of user waits for answers")
    assert line.endswith(" (slow down); limit 5/10s, told by the server")
    assert facts(record, "scope", "rate", "told", "status_code") == ["user", "5/10s", True, 429]
    assert record["seconds"] == 0


def test_a_line_stays_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever an id is, nobody can forge a second record with it; the project's own level has no group."""
    failed(Outcome(Target("p\nINFO", "g\x1b[2J"), Verdict.CONFLICT, message="busy"), "prod")
    failed(Outcome(ProjectLevel("p"), Verdict.CONFLICT, message="busy"), "prod")
    assert [line for line, _ in said(caplog, "failed")] == [
        "failed: project 'p\\nINFO' of prod, group 'g\\x1b[2J': conflict: busy",
        "failed: project p of prod, project level: conflict: busy",
    ]


async def test_the_command_shows_them(tmp_path: Path) -> None:
    """`--log-level info` says what a warning does not; as JSON with all facts as fields, and never the token."""
    (_, first), (_, second), _ = Simulator(projects=1, groups=3).targets
    faults = [
        Fault("status", times=1, status=429, headers={"Retry-After": "1"}, only=[first]),
        Fault("status", status=405, only=[second]),
    ]
    shown: dict[str, list[str]] = {}
    for flags in ("", "--log-level=info", "--log-level=info --log-format=json"):
        async with Simulator(projects=1, groups=3, faults=faults) as simulator:
            done = await run(*arguments(tmp_path, simulator, "--quiet", *flags.split()), token=simulator.token)
            assert simulator.token not in done.stderr
            shown[flags] = done.stderr.splitlines()
            project = simulator.targets[0][0]
    assert shown[""] == []
    text = shown["--log-level=info"]
    lines = [json.loads(line) for line in shown["--log-level=info --log-format=json"]]
    records = {record["event"]: record for record in lines}
    assert (lines[0]["event"], lines[-1]["event"], len(lines)) == ("begun", "ended", 4)
    assert all(set(record) >= {"time", "level", "logger", "message"} for record in lines)
    refusal = records["failed"]
    assert (refusal["project_id"], refusal["verdict"], refusal["status_code"]) == (project, "rejected", 405)
    assert records["throttled"]["seconds"] == 1.0
    assert len(text) == 4
    assert f" INFO sdrs_async: throttled: project {project} waits 1.0 s (" in "".join(text)
    assert f" INFO sdrs_async: failed: project {project} of OS_TOKEN, group " in "".join(text)
    assert text[-1].endswith(" s: 3 planned, 2 done, 0 gone, 1 failed, 0 skipped, 0 unsettled, 0 duplicates")
