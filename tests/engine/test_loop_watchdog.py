"""A run that could go on and does not is a defect, and says so; one that waits for a reason is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest

from sdrs_async.engine.engine import Engine
from sdrs_async.engine.intake import READ_AHEAD, sources
from sdrs_async.engine.lanes import Job
from sdrs_async.engine.queue import Fleet
from sdrs_async.errors import SdrsError
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Outcome, Reply, Verdict
from sdrs_async.report import Ledger, Report
from sdrs_async.run import Run
from tests.support.engine_runs import DELETED, FREE, Iam, Service, engine_of, fleet, settle
from tests.support.virtual_time import run_virtual


class Forgetful(Fleet):
    """A fleet with a defect: after so many turns nobody has one any more."""

    turns = 5

    def take(self, now: float) -> Job | None:
        """As ever, at first."""
        self.turns -= 1
        return super().take(now) if self.turns >= 0 else None


class Losing(Fleet):
    """A fleet with a defect: what is to be tried again is counted and kept nowhere."""

    def retry(self, job: Job, due: float, now: float) -> None:
        """Lose it."""
        self.rest(job.lane)


class Deaf(Fleet):
    """A fleet with a defect: the lanes that need a sign-in are told to nobody."""

    def take(self, now: float) -> Job | None:
        """As ever, but for those."""
        job = super().take(now)
        self.unsigned.clear()
        return job


def run_with(
    made: Fleet, service: Service, *, groups: int = 10, sign_in: Any = None
) -> tuple[BaseException | None, Report, float]:
    """Run over a fleet with a defect: what was raised, the report, and the seconds that it took."""

    async def main() -> tuple[BaseException | None, Report, float]:
        loop = asyncio.get_running_loop()
        report = Ledger(clock=loop.time)
        user = made.user("the user", "endpoint", service.send, Limits(None, 1, None, None, None), sign_in=sign_in)
        run, begun = Run(Engine(made, report.add, RetryPolicy(), rng=Random(1)), report), loop.time()
        await run._drive(sources(fleet(1, groups), READ_AHEAD, user))
        try:
            run._raise_error()
        except Exception as error:
            return error, report, loop.time() - begun
        return None, report, loop.time() - begun

    return run_virtual(main())


@pytest.mark.parametrize(
    ("made", "answer", "sign_in", "words"),
    [
        (Forgetful(1), DELETED, None, "a target of project p0 of the user might have been sent"),
        (Losing(1), Reply(Verdict.TRANSIENT, 503), None, "1 targets have waited for nothing"),
        (Deaf(1), DELETED, Iam().sign_in, "a target of project p0 of the user might have been sent"),
    ],
)
def test_a_run_in_which_nothing_moves_says_what_waits_for_what(
    made: Fleet, answer: Reply, sign_in: Any, words: str
) -> None:
    """After 30 s it ends with one error that names project and account, and its report counts every target."""
    service = Service(answer=lambda target, nth: answer if target.server_group_id == "g0" else DELETED)
    error, report, seconds = run_with(made, service, sign_in=sign_in)
    assert type(error) is SdrsError
    assert str(error).startswith("defect: for 30 s ")
    assert words in str(error)
    assert error.report is report
    assert report.exit_code != 0
    assert report.targets["planned"] >= 9
    assert 30 <= seconds <= 60


def test_targets_whose_worker_died_are_unsettled_and_not_lost() -> None:
    """An error inside the run ends it: whatever was taken is counted."""
    sent = 0

    def answer(target: object, nth: int) -> Reply:
        nonlocal sent
        sent += 1
        if sent == 4:
            raise RuntimeError("a defect")
        return DELETED

    error, report, _ = run_with(Fleet(8), Service(answer=answer))
    assert isinstance(error, RuntimeError)
    assert report.targets["done"] + report.targets["unsettled"] == 10
    assert report.interrupted


@pytest.mark.parametrize(
    ("limits", "answer"),
    [
        (Limits("1/5min", 1, None, None, None), lambda target, nth: DELETED),
        (Limits(None, 1, "1/5min", None, None), lambda target, nth: DELETED),
        (FREE, lambda target, nth: Reply(Verdict.THROTTLED, 429, retry_after=200.0) if nth == 1 else DELETED),
        (FREE, lambda target, nth: Reply(Verdict.CONFLICT, 409, retry_after=100.0) if nth == 1 else DELETED),
        (FREE, lambda target, nth: None if nth == 1 else DELETED),
    ],
    ids=["own project rate", "own user rate", "a hold", "back-off", "no answer"],
)
def test_waiting_for_a_limit_or_an_answer_is_no_defect(limits: Limits, answer: Callable[..., Reply | None]) -> None:
    """However long it takes."""
    retry = RetryPolicy(timeout=150.0, cap=100.0, total=5000.0)
    assert settle(Service(answer=answer), fleet(2, 3), limits, retry).verdicts() == {Verdict.DELETED: 6}


def test_waiting_for_the_users_own_iterator_is_no_defect() -> None:
    """It may take hours between two targets."""

    async def slowly() -> AsyncIterator[tuple[str, str]]:
        for target in fleet(1, 3):
            await asyncio.sleep(3600)
            yield target

    assert settle(Service(), slowly(), FREE).verdicts() == {Verdict.DELETED: 3}


def test_waiting_for_a_consumer_is_no_defect() -> None:
    """Nothing is sent while nobody takes the outcomes, for as long as that lasts."""

    async def pausing(engine: Engine) -> None:
        await asyncio.sleep(0.05)
        engine.pause()
        await asyncio.sleep(3600)
        engine.resume()
        await asyncio.sleep(10)

    settled = settle(Service(), fleet(1, 50), Limits("10/s", 8, None, None, 8), during=pausing)
    assert settled.verdicts() == {Verdict.DELETED: 50}
    assert settled.seconds > 3600


def test_waiting_for_a_sign_in_is_no_defect() -> None:
    """As long as it is under way, or held by IAM."""
    throttled = Reply(Verdict.THROTTLED, retry_after=200.0, scope="sign-in", sent=False)
    iam = Iam(lambda project, nth: throttled if nth == 1 else 1e9, latency=100.0)
    retry = RetryPolicy(timeout=150.0, total=5000.0)
    outcomes: list[Outcome] = []

    async def main() -> None:
        engine, user = engine_of(Service().send, outcomes.append, FREE, retry, sign_in=iam.sign_in)
        await engine.run(sources(fleet(2, 2), READ_AHEAD, user))
        assert engine.error is None

    run_virtual(main())
    assert {outcome.verdict for outcome in outcomes} == {Verdict.DELETED}
