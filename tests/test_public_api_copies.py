"""What users hold can be pickled and copied: for multiprocessing, dask, joblib, or a cache."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from sdrs_async import (
    AuthenticationError,
    ConfigError,
    JournalError,
    Learned,
    Limits,
    ListingError,
    Outcome,
    ProjectLevel,
    Rate,
    RetryPolicy,
    SdrsError,
    Selection,
    SignInFailed,
    StaticToken,
    Target,
    Unlisted,
    Verdict,
    stream,
)
from sdrs_async.models import Reply
from sdrs_async.report import Ledger
from sdrs_async.simulator import Fault, Simulator
from tests.support.raw_server import Connection, answer, serving
from tests.support.waiting import until

COPIES = [lambda value: pickle.loads(pickle.dumps(value)), copy.copy, copy.deepcopy]
copied = pytest.mark.parametrize("copied", COPIES, ids=["pickle", "copy", "deepcopy"])
REPLY = Reply(Verdict.TRANSIENT, 503, "SDRS.0012", "busy", retry_after=3.0)
VALUES = [
    Target("p", "g"),
    ProjectLevel("p"),
    Rate(200, 300.0, 20),
    Limits(user_rate="200/5min burst 20", concurrency=None),
    RetryPolicy(attempts=3),
    Selection(["eu-de"], project_level=True),
    Learned("user", "prod", Rate(10), told=True),
    Unlisted("p", "prod", "forbidden", 403, "no"),
    Outcome(Target("p", "g"), Verdict.DELETED, 204, attempts=2, account="prod"),
    REPLY,
]


@copied
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_plain_data_is_copied(value: Any, copied: Callable[[Any], Any]) -> None:
    """A copy equals what it is of."""
    assert copied(value) == value


ERRORS: list[SdrsError] = [
    SdrsError("what"),
    ConfigError("what", report=Ledger(run_id="one")),
    AuthenticationError("what", report=Ledger(run_id="one")),
    JournalError("what"),
    SignInFailed("what", verdict=Verdict.THROTTLED, retry_after=4.0),
    ListingError("what", REPLY),
]


@copied
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_copied_with_all_that_it_carries(error: SdrsError, copied: Callable[[Any], Any]) -> None:
    """What stopped a run in a worker process reaches its parent: message, report and answer."""
    got = copied(error)
    assert (type(got), str(got)) == (type(error), "what")
    assert (got.report and got.report.run_id) == (error.report and error.report.run_id)
    assert getattr(got, "reply", None) == getattr(error, "reply", None)


@copied
async def test_a_report_is_copied(copied: Callable[[Any], Any]) -> None:
    """Of a finished run, and as of now of one that goes on: the copy stands still, and can be read, merged, asked."""
    faults = [Fault("status", 0.2, status=403), Fault("status", 0.2, status=503, times=1)]
    async with Simulator(projects=2, groups=40, latency=0.01, faults=faults) as cloud:
        auth, limits = StaticToken(cloud.token), Limits(project_rate="50/s", concurrency=4)
        async with stream(cloud.targets, endpoint=cloud.url, auth=auth, limits=limits) as run:
            await until(lambda: run.report.targets["done"] > 5)
            running, shown = copied(run.report), run.report.to_dict()
            async for _ in run:
                pass
        finished = copied(run.report)
    assert finished.to_dict() == run.report.to_dict()
    assert finished.exit_code == run.report.exit_code
    of_time = ("finished_at", "duration_s", "speed")
    assert {key: value for key, value in running.to_dict().items() if key not in of_time} == {
        key: value for key, value in shown.items() if key not in of_time
    }
    assert running.to_dict() == running.to_dict()
    assert running.to_dict()["speed"]["bottleneck"] == shown["speed"]["bottleneck"]
    assert 5 < running.targets["planned"] < run.report.targets["planned"] == 80
    assert running.merge(Ledger(run_id="other")).targets == running.targets


def test_a_copy_of_a_report_does_not_need_its_clock() -> None:
    """The clock is a loop's, which no other process has."""
    with open(__file__, "rb") as cannot_be_pickled:
        report = Ledger(Limits(), clock=lambda: float(cannot_be_pickled.tell()))
        assert pickle.loads(pickle.dumps(report)).to_dict() == report.to_dict()


@pytest.mark.parametrize("status", [403, 503])
async def test_what_came_of_a_run_holds_no_credential(status: int) -> None:
    """Neither what it gives nor what it raises: pickles of both go to other machines, and into files."""
    token = "gAAAAAB-static/token+0123456789"
    body = json.dumps({"error_code": "X.1", "error_msg": f"you sent {token}", "request_id": token}).encode()

    async def handle(connection: Connection, head: bytes) -> bytes:
        return answer(status, body, f"X-Request-Id: {token}")

    async with (
        serving(handle) as server,
        stream(
            [Target(f"p{number}", "g") for number in range(3)],
            endpoint=server.url, auth=StaticToken(token), retry=RetryPolicy(attempts=1),
        ) as run,
    ):  # fmt: skip
        outcomes = [outcome async for outcome in run]
    error = AuthenticationError(str(outcomes[0].message), report=run.report)
    data = pickle.dumps([outcomes, run.report, error])
    assert server.arrivals
    assert b"you sent ***" in data
    assert b"static/token" not in data


def test_a_copy_of_a_token_is_as_small() -> None:
    """What is made of it to find it in texts is made again, where it is needed."""
    token = "".join(map(str, range(3000)))
    data = pickle.dumps(StaticToken(token))
    assert len(data) < 2 * len(token)
    assert pickle.loads(data).secrets.struck(token) == "***"
