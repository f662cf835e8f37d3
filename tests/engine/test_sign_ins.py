"""Signing in beside the sending: lazily, a few at a time, renewed in time, and in nobody's way."""

from __future__ import annotations

import asyncio
import math
from collections import Counter

import anyio
import pytest

from sdrs_async.engine.engine import Engine
from sdrs_async.engine.intake import sources
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Outcome, Reply, Target, Verdict
from tests.support.engine_runs import (
    DELETED,
    FREE,
    Iam,
    Party,
    Service,
    engine_of,
    fleet,
    held,
    most_in_window,
    refused,
    settle_all,
)
from tests.support.virtual_time import run_virtual

EXPIRED = Reply(Verdict.UNAUTHORIZED, 401, "APIGW.0307", "token expired")


class Tokens:
    """A service that takes a project's requests only while it is signed in, and an IAM for it.

    `life`: seconds a token is good; `spare`: so many seconds earlier it is said to be over. `revoked_at`: from then on
    the tokens that were issued before are refused.
    """

    def __init__(self, life: float = math.inf, spare: float = 0.0, revoked_at: float = math.inf) -> None:
        self.refusals: list[tuple[float, str]] = []
        self.life = life
        self.revoked_at = revoked_at
        self.iam = Iam(lambda project, nth: life - spare, latency=0.5)
        self.service = Service(self._answer)

    def _answer(self, target: Target, nth: int) -> Reply:
        now = self.service.times[-1]
        issued = self.iam.signed[target.project_id][-1]
        if now < issued + self.life and not issued < self.revoked_at <= now:
            return DELETED
        self.refusals.append((now, target.project_id))
        return EXPIRED

    def party(self, *shape: int, limits: Limits = FREE) -> Party:
        """A user of it with so many projects and groups."""
        return Party(self.service, fleet(*shape), limits, self.iam)


# ---- when, how often, how many at a time


def test_each_project_signs_in_once_and_only_when_it_has_something_to_send() -> None:
    """One sign-in per project that has targets, before its first request, for ever if it is good for ever."""
    tokens = Tokens()
    settled = settle_all({"a": tokens.party(9, 20)})
    assert settled.verdicts() == {Verdict.DELETED: 180}
    assert set(tokens.iam.came.values()) == {1}
    assert all(min(tokens.service.arrived[project]) >= at for project, [at] in tokens.iam.signed.items())
    assert {outcome.attempts for outcome in settled.outcomes} == {1}


def test_no_more_than_four_at_a_time_for_each_user() -> None:
    """IAM sees at most four sign-ins of a user at once, and as many of another's beside them."""
    a, b = Tokens(), Tokens()
    b.service.target_of = lambda call: Target(f"q{call.project_id}", call.server_group_id or "")  # type: ignore
    party = Party(b.service, [(f"b{number}", "g") for number in range(20)], FREE, Iam(latency=0.5))
    b.service.answer = lambda target, nth: DELETED
    settle_all({"a": a.party(20, 2), "b": party})
    assert (a.iam.most, party.iam.most if party.iam else 0) == (4, 4)
    assert [round(at, 1) for at, _ in a.iam.calls] == [0.5 * (number // 4) for number in range(20)]


def test_a_project_goes_on_as_soon_as_it_is_signed_in() -> None:
    """Nobody waits for the sign-ins of the others."""
    tokens = Tokens()
    settle_all({"a": tokens.party(40, 1)})
    waits = [tokens.service.arrived[project][0] - at for project, [at] in tokens.iam.signed.items()]
    assert max(waits) < 1e-3


def test_a_hanging_iam_takes_nothing_from_another_user() -> None:
    """While no sign-in of one user is answered, the other has all slots, the fleet's whole cap if it can use it."""
    hanging, busy = Iam(lambda project, nth: None), Service(latency=1.0)
    idle = Service()
    limits = Limits(None, 8, None, None, None)
    other = {f"b{number}": [f"g{group}" for group in range(80)] for number in range(8)}
    settled = settle_all(
        {"a": Party(idle, fleet(200, 3), limits, hanging), "b": Party(busy, other, limits)},
        retry=RetryPolicy(attempts=2, timeout=30),
    )
    assert idle.calls == []
    assert busy.most_in_flight["all"] == 64
    assert max(busy.times) == pytest.approx(1 + 9, abs=0.01)  # the first of each goes alone, then eight at a time
    assert settled.verdicts()[Verdict.DELETED] == 640
    assert set(settled.verdicts()) == {Verdict.DELETED, Verdict.UNREACHABLE, Verdict.SKIPPED}


def test_a_small_project_has_its_cap_beside_many_that_wait_for_a_sign_in() -> None:
    """Projects that wait for a sign-in claim no share of the fleet's cap."""
    hanging, busy = Iam(lambda project, nth: None), Service(latency=1.0)
    settle_all(
        {
            "a": Party(Service(), fleet(200, 1), Limits(None, 8, None, None, None), hanging),
            "b": Party(busy, [("b", f"g{group}") for group in range(81)], Limits(None, 8, None, None, None)),
        },
        retry=RetryPolicy(attempts=1, timeout=30),
    )
    assert busy.most_in_flight["b"] == 8
    assert max(busy.times) == pytest.approx(10, abs=0.01)


def test_shares_are_counted_right_after_many_renewals() -> None:
    """However often projects leave their share for a sign-in and take it again, none is lost or kept."""
    tokens = Tokens(life=2.0, spare=0.6)
    settled = settle_all({"a": tokens.party(6, 60, limits=Limits("5/s", 2, None, None, None))}, concurrency=12)
    assert settled.verdicts() == {Verdict.DELETED: 360}
    assert settled.engine.fleet._line.active == 0
    assert not any(lane.turn.active for lane in settled.engine.fleet.lanes())


# ---- renewed


def test_a_stated_time_is_never_outlived() -> None:
    """Ten minutes of requests with tokens of one minute: each is renewed in time, and no answer is a 401."""
    tokens = Tokens(life=60.0, spare=1.0)
    settled = settle_all({"a": tokens.party(2, 302, limits=Limits("1/2s", 8, None, None, None))})
    assert settled.seconds > 600
    assert settled.verdicts() == {Verdict.DELETED: 604}
    assert tokens.refusals == []
    for project in tokens.iam.came:
        assert settled.seconds / 62 <= tokens.iam.came[project] <= settled.seconds / 59 + 1


def test_a_time_that_is_over_at_once_is_no_endless_row_of_sign_ins() -> None:
    """A sign-in that is good for no time at all is used for a second all the same."""
    iam, service = Iam(lambda project, nth: 0.0, latency=0.1), Service(latency=0.1)
    settled = settle_all({"a": Party(service, fleet(1, 100), Limits(None, 1, None, None, None), iam)})
    assert settled.verdicts() == {Verdict.DELETED: 100}
    assert 8 <= iam.came["p0"] <= 11


def test_tokens_that_are_revoked_are_renewed_once_for_each_project() -> None:
    """After its first 401 a project signs in once more, and then nothing of it is refused again."""
    tokens = Tokens(revoked_at=8.0)
    settled = settle_all({"a": tokens.party(5, 100, limits=Limits("10/s", 8, None, None, None))})
    assert settled.verdicts() == {Verdict.DELETED: 500}
    assert set(tokens.iam.came.values()) == {2}
    refused_at = {project: at for at, project in reversed(tokens.refusals)}
    for project, at in refused_at.items():
        answered, signed = at + tokens.service.latency, tokens.iam.signed[project][1]
        assert not [one for one in tokens.service.arrived[project] if answered + 1e-4 < one < signed]


def test_a_late_refusal_of_the_old_token_is_no_reason_to_sign_in_again() -> None:
    """What was sent before the new sign-in and is refused after it goes out again with the new token."""
    tokens = Tokens(revoked_at=8.0)
    tokens.service.latency = 3.0
    settled = settle_all({"a": tokens.party(2, 60, limits=Limits("2/s", 8, None, None, None))})
    assert settled.verdicts() == {Verdict.DELETED: 120}
    assert len(tokens.refusals) > 2
    assert tokens.iam.came == {"p0": 2, "p1": 2}


def test_a_credential_that_is_refused_again_stops_its_project() -> None:
    """Two refusals of the same target, the second with a new token, are final for the project, and for it alone."""
    tokens = Tokens()
    tokens.service.answer = lambda target, nth: EXPIRED if target.project_id == "p1" else DELETED
    settled = settle_all({"a": tokens.party(3, 10, limits=Limits(None, 1, None, None, None))})
    assert settled.verdicts() == {Verdict.DELETED: 20, Verdict.UNAUTHORIZED: 1, Verdict.SKIPPED: 9}
    assert tokens.iam.came == {"p0": 1, "p1": 2, "p2": 1}
    assert tokens.service.came[Target("p1", "g0")] == 2


# ---- what goes wrong


def test_a_project_that_may_not_be_signed_in_to_stops_alone() -> None:
    """A refusal of one project: its first target is unauthorized, its others skipped, nothing of it is sent."""
    iam, service = Iam(lambda project, nth: refused() if project == "p1" else math.inf), Service()
    settled = settle_all({"a": Party(service, fleet(3, 10), FREE, iam)})
    assert settled.verdicts() == {Verdict.DELETED: 20, Verdict.UNAUTHORIZED: 1, Verdict.SKIPPED: 9}
    assert iam.came["p1"] == 1
    assert not service.arrived["p1"]
    [failed] = [one for one in settled.outcomes if one.verdict is Verdict.UNAUTHORIZED]
    assert (failed.attempts, failed.status_code, failed.elapsed, failed.message) == (0, None, 0.0, "refused by IAM")


def test_a_refused_account_stops_as_a_whole() -> None:
    """A wrong password: at most the four sign-ins that were under way, then no more, and no request at all."""
    iam, service, other = Iam(lambda project, nth: refused(whole_account=True)), Service(), Service()
    settled = settle_all({"a": Party(service, fleet(50, 2), FREE, iam), "b": Party(other, [("q", "g")])})
    assert len(iam.calls) <= 4
    assert not service.calls
    assert settled.verdicts() == {Verdict.DELETED: 1, Verdict.UNAUTHORIZED: 1, Verdict.SKIPPED: 99}


def test_a_throttled_sign_in_holds_those_of_its_user_alone() -> None:
    """After IAM's 429 no sign-in of that user starts until the wait is over; its signed projects and others go on."""
    throttled = refused(Verdict.THROTTLED, retry_after=20.0)
    iam = Iam(lambda project, nth: throttled if project == "p5" and nth == 1 else math.inf, latency=0.1)
    service, other = Service(latency=1.0), Iam(latency=0.1)
    settled = settle_all(
        {
            "a": Party(service, fleet(12, 8), Limits(None, 1, None, None, None), iam),
            "b": Party(Service(), [(f"q{number}", "g") for number in range(40)], FREE, other),
        }
    )
    starts = [at for at, _ in iam.calls]
    held_at = next(at for at, project in iam.calls if project == "p5") + 0.1
    assert not [at for at in starts if held_at + 1e-4 < at < held_at + 20]
    assert len([at for at in service.times if held_at < at < held_at + 10]) > 20
    assert max(at for at, _ in other.calls) < 2
    assert settled.verdicts() == {Verdict.DELETED: 136}
    assert {one.throttled for one in settled.outcomes} == {0}


def test_a_longer_wait_holds_those_who_wait_already() -> None:
    """A second 429 that asks for more time counts for every sign-in that has not started."""
    waits = {"p0": (0.1, 2.0), "p1": (1.0, 30.0)}

    class Slow(Iam):
        async def sign_in(self, project_id: str, seconds: float) -> float | Reply:
            self.latency = waits.get(project_id, (0.1, 0))[0] if self.came[project_id] == 0 else 0.1
            latency = self.latency
            result = await super().sign_in(project_id, seconds)
            assert latency is not None
            return result

    iam = Slow(
        lambda project, nth: (
            refused(Verdict.THROTTLED, retry_after=waits[project][1]) if nth == 1 and project in waits else math.inf
        )
    )
    settled = settle_all({"a": Party(Service(), fleet(6, 1), FREE, iam)})
    assert not [at for at, _ in iam.calls if 1.001 < at < 30.9]
    assert settled.verdicts() == {Verdict.DELETED: 6}


def test_a_wait_of_iam_is_shown() -> None:
    """Whoever watches the run is told that sign-ins wait."""
    iam = Iam(lambda project, nth: refused(Verdict.THROTTLED, retry_after=20.0) if nth == 1 else math.inf)
    seen: list[tuple[int, float]] = []

    async def look(engine: Engine) -> None:
        await anyio.sleep(5)
        seen.append(held(engine))

    settle_all({"a": Party(Service(), fleet(1, 1), FREE, iam)}, during=look)
    [(scopes, seconds)] = seen
    assert scopes == 1
    assert seconds == pytest.approx(15.1, abs=0.01)


@pytest.mark.parametrize("verdict", [Verdict.TRANSIENT, Verdict.UNREACHABLE])
def test_a_sign_in_that_fails_is_tried_again(verdict: Verdict) -> None:
    """A fault that passes costs nobody anything."""
    iam = Iam(lambda project, nth: refused(verdict) if nth <= 3 else math.inf)
    service = Service()
    settled = settle_all({"a": Party(service, fleet(2, 30), FREE, iam)}, retry=RetryPolicy(attempts=4, base=0.2))
    assert settled.verdicts() == {Verdict.DELETED: 60}
    assert iam.came == {"p0": 4, "p1": 4}
    assert len(service.calls) == 60
    assert {outcome.attempts for outcome in settled.outcomes} == {1}


@pytest.mark.parametrize("answer", [refused(Verdict.TRANSIENT, "IAM has a fault"), None])
def test_a_sign_in_that_goes_on_failing_is_tried_as_often_as_a_request_not_for_each_group(answer: Reply | None) -> None:
    """A project whose IAM does not work fails after its tries, all its groups with the same reason, never skipped."""
    iam, service = Iam(lambda project, nth: answer), Service()
    settled = settle_all({"a": Party(service, fleet(2, 500), FREE, iam)}, retry=RetryPolicy(attempts=5, timeout=10))
    assert iam.came == {"p0": 5, "p1": 5}
    assert service.calls == []
    verdict = Verdict.TRANSIENT if answer is not None else Verdict.UNREACHABLE
    assert settled.verdicts() == {verdict: 1000}
    assert len({outcome.message for outcome in settled.outcomes}) == 1
    assert {(one.attempts, one.status_code) for one in settled.outcomes} == {(0, None)}
    assert most_in_window([at for at, project in iam.calls if project == "p0"], 0.01) == 1


def test_sign_ins_that_fail_back_off() -> None:
    """Where IAM refuses at once, the tries of a project are as far apart as those of a request."""
    iam = Iam(lambda project, nth: refused(Verdict.TRANSIENT) if nth < 8 else math.inf, latency=0.0)
    policy = RetryPolicy(attempts=9, base=4, cap=4)
    settled = settle_all({"a": Party(Service(), fleet(1, 50), FREE, iam)}, retry=policy)
    starts = [at for at, _ in iam.calls]
    assert len(starts) == 8
    assert len({round(at, 1) for at in starts}) == 8
    assert settled.verdicts() == {Verdict.DELETED: 50}


def test_an_iam_that_never_answers_is_given_up_for_the_whole_account() -> None:
    """500 projects whose IAM hangs: it is given up after five minutes, not after the tries of all, which take hours."""
    iam, service = Iam(lambda project, nth: None), Service()
    settled = settle_all({"hanging": Party(service, fleet(500, 2), iam=iam)})
    assert not service.calls
    assert len(iam.calls) == 4 * 2 * RetryPolicy().attempts
    assert settled.verdicts()[Verdict.SKIPPED] >= 900
    reasons = {outcome.message for outcome in settled.outcomes if outcome.verdict is Verdict.SKIPPED}
    assert reasons == {"not sent: no sign-in of hanging went well in 300 s (no answer from IAM)"}


def test_a_project_whose_sign_in_fails_stops_no_other_that_is_signed_in() -> None:
    """One project that IAM cannot sign in to, when all others have their tokens already."""
    iam = Iam(lambda project, nth: refused(Verdict.TRANSIENT) if project == "p9" else math.inf)
    service = Service()
    settled = settle_all({"user": Party(service, fleet(10, 200), Limits("1/s", 8, None, None, 64), iam=iam)})
    assert {outcome.target.project_id for outcome in settled.outcomes if outcome.verdict is not Verdict.DELETED} == {
        "p9"
    }
    assert settled.verdicts() == {Verdict.DELETED: 9 * 200, Verdict.TRANSIENT: 200}


def test_a_lane_whose_targets_are_given_up_meanwhile_signs_in_no_more() -> None:
    """Projects of an account that was stopped while they waited for their turn ask IAM for nothing."""
    iam = Iam(lambda project, nth: math.inf if project == "p0" else None, latency=0.1)
    service = Service(lambda target, nth: Reply(Verdict.UNAUTHORIZED, 401, "APIGW.0301", "no", retryable=False))
    party = Party(service, fleet(30, 2), FREE, iam, one_key=True)
    service.lists = lambda listing, nth: Reply(Verdict.UNAUTHORIZED, 401, "APIGW.0301", "no", retryable=False)
    settled = settle_all({"a": party}, retry=RetryPolicy(timeout=30))
    assert len(iam.calls) <= 5
    assert settled.seconds < 1
    assert settled.verdicts() == {Verdict.UNAUTHORIZED: 1, Verdict.SKIPPED: 59}


# ---- ended early


@pytest.mark.parametrize("ending", ["stop", "stop in the same moment", "cancel"])
def test_ending_a_run_ends_its_sign_ins_at_once(ending: str) -> None:
    """Neither stop nor cancel waits for IAM; nothing is left, and the next run on the same fleet signs in as ever."""
    iam, service, outcomes = Iam(lambda project, nth: None if hang else math.inf), Service(), list[Outcome]()
    hang = True

    async def main() -> None:
        nonlocal hang
        engine, user = engine_of(service.send, outcomes.append, FREE, sign_in=iam.sign_in)
        run = asyncio.create_task(engine.run(sources(fleet(10, 2), 1000, user)))
        for _ in range(2 if ending == "stop in the same moment" else 5):
            await asyncio.sleep(0)
        if ending != "stop in the same moment":
            await asyncio.sleep(1)
            assert (iam.at_once, user.sign_ins.under_way) == (4, 4)
        started = asyncio.get_running_loop().time()
        run.cancel() if ending == "cancel" else engine.stop(grace=20)
        await asyncio.wait([run])
        assert asyncio.get_running_loop().time() - started < 0.01
        assert (iam.at_once, user.sign_ins.under_way) == (0, 0)
        assert (len(user.sign_ins.waiting), len(engine.fleet.unsigned)) == (0, 0)
        assert engine.settlement.open == 0
        assert engine.fleet._line.active == 0
        hang = False
        again = Engine(engine.fleet, outcomes.append, RetryPolicy())
        await again.run(sources(fleet(10, 2), 1000, user))

    run_virtual(main())
    verdicts = Counter(outcome.verdict for outcome in outcomes)
    assert verdicts[Verdict.DELETED] == 20
    assert set(verdicts) <= {Verdict.DELETED, Verdict.UNSETTLED}


def test_a_pause_is_no_reason_to_lose_a_sign_in() -> None:
    """A run that is paused while its projects sign in goes on with them signed in."""
    tokens = Tokens()

    async def pause(engine: Engine) -> None:
        await anyio.sleep(0.2)
        engine.pause()
        await anyio.sleep(10)
        engine.resume()
        await anyio.sleep_forever()

    settled = settle_all({"a": tokens.party(4, 4)}, during=pause)
    assert settled.verdicts() == {Verdict.DELETED: 16}
    assert set(tokens.iam.came.values()) == {1}


def test_a_wait_of_iam_that_is_longer_than_the_time_of_a_target_fails_all_that_need_a_sign_in() -> None:
    """They fail as throttled, at once, those that were never tried too, all by IAM's code; who is signed in goes on."""
    slow = refused(Verdict.THROTTLED, retry_after=500.0, error_code="IAM.0012")
    iam = Iam(lambda project, nth: slow if project == "p1" else math.inf)
    settled = settle_all(
        {"a": Party(Service(), fleet(2, 5), Limits(None, 1, None, None, None), iam)}, retry=RetryPolicy(total=60)
    )
    assert settled.verdicts() == {Verdict.THROTTLED: 5, Verdict.DELETED: 5}
    assert settled.seconds < 2
    failed = [outcome for outcome in settled.outcomes if outcome.verdict is Verdict.THROTTLED]
    assert {outcome.error_code for outcome in failed} == {"IAM.0012"}
    assert sum("IAM lets nobody sign in for" in outcome.message for outcome in failed) == 4


def test_an_iam_that_throttles_for_ever_keeps_no_target_longer_than_its_total_time() -> None:
    """Each hold is short and another one follows: those that were never tried count from the first of them."""
    iam = Iam(lambda project, nth: refused(Verdict.THROTTLED, retry_after=20.0))
    settled = settle_all({"a": Party(Service(), fleet(3, 50), FREE, iam)}, retry=RetryPolicy(total=60))
    assert settled.verdicts() == {Verdict.THROTTLED: 150}
    assert settled.seconds < 60 + 900


def test_a_throttled_sign_in_uses_up_no_try() -> None:
    """However often IAM says to wait, a fault after that is tried again as the first one."""
    throttled, fault = refused(Verdict.THROTTLED, retry_after=1.0), refused(Verdict.TRANSIENT)
    iam = Iam(lambda project, nth: throttled if nth <= 5 else fault if nth == 6 else math.inf)
    settled = settle_all({"a": Party(Service(), fleet(1, 3), FREE, iam)}, retry=RetryPolicy(attempts=2))
    assert settled.verdicts() == {Verdict.DELETED: 3}
    assert iam.came == {"p0": 7}
