"""One token per project: who signs in, when, and how often. Nothing here opens a socket."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from sdrs_async.auth import SignInFailed
from sdrs_async.credentials.keystone import KeystoneAuth
from sdrs_async.credentials.keystone.cloud import Cloud
from sdrs_async.credentials.keystone.tokens import HEADER, Token, Tokens
from sdrs_async.models import Request, Verdict
from tests.support.virtual_time import run_virtual
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

CLOUD = Cloud("cloud 'prod'", "v3password", {"auth_url": "https://iam.test/v3"})
DAY = 24 * 3600.0


class Iam:
    """Signs in, counts, and refuses whom it is told to; `gate` holds all sign-ins of projects while it is set."""

    def __init__(self, life: float = DAY, takes: float = 0.0) -> None:
        self.life = life
        self.takes = takes
        self.asked: Counter[str] = Counter()
        self.now = 0
        self.most = 0
        self.refusal: dict[str, SignInFailed] = {}
        self.gate: anyio.Event | None = None

    async def __call__(self, project_id: str, base: Token | None) -> Token:
        assert (base is None) == (project_id == "")
        self.asked[project_id] += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await (self.gate.wait() if project_id and self.gate else asyncio.sleep(self.takes))
        finally:
            self.now -= 1
        if project_id in self.refusal:
            raise self.refusal[project_id]
        return Token({HEADER: f"{project_id}-{self.asked[project_id]}"}, self.life)


def wrong_password() -> SignInFailed:
    """What the account is told."""
    return SignInFailed("wrong", whole_account=True)


async def value(tokens: Tokens, project_id: str) -> str:
    """The token itself."""
    return (await tokens.get(project_id)).headers[HEADER]


async def gathered(tokens: Tokens, *project_ids: str) -> list[str | SignInFailed]:
    """What each of these callers gets, all asking at once."""
    results: list[str | SignInFailed] = [""] * len(project_ids)

    async def one(number: int, project_id: str) -> None:
        try:
            results[number] = await value(tokens, project_id)
        except SignInFailed as error:
            results[number] = error

    async with anyio.create_task_group() as tasks:
        for number, project_id in enumerate(project_ids):
            tasks.start_soon(one, number, project_id)
    return results


async def test_callers_share_one_sign_in() -> None:
    """Ten at once for two projects: one sign-in for each, after one for the account."""
    iam = Iam()
    assert await gathered(Tokens(iam), *["p1", "p2"] * 5) == ["p1-1", "p2-1"] * 5
    assert iam.asked == {"": 1, "p1": 1, "p2": 1}


async def test_callers_share_a_failure() -> None:
    """Each gets an exception of its own, and the next one asks anew."""
    iam = Iam()
    iam.refusal["p1"] = SignInFailed("busy", verdict=Verdict.THROTTLED, retry_after=7)
    tokens = Tokens(iam)
    errors = await gathered(tokens, "p1", "p1", "p1")
    assert iam.asked == {"": 1, "p1": 1}
    assert len({id(error) for error in errors}) == 3
    assert len({id(error.reply) for error in errors if isinstance(error, SignInFailed)}) == 3
    assert [(error.reply.verdict, error.reply.retry_after) for error in errors if isinstance(error, SignInFailed)] == [
        (Verdict.THROTTLED, 7)
    ] * 3
    iam.refusal.clear()
    assert await value(tokens, "p1") == "p1-2"


async def test_at_most_four_sign_in_at_once() -> None:
    """Fifty projects at once: IAM sees four at a time."""
    iam = Iam()
    iam.gate = anyio.Event()
    tokens = Tokens(iam)
    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(value, tokens, f"p{number}")
        await until(lambda: iam.now == 4)
        await anyio.wait_all_tasks_blocked()
        assert iam.now == 4
        iam.gate.set()
    assert (iam.most, iam.asked.total()) == (4, 51)


async def test_who_is_cancelled_leaves_the_sign_in_to_the_others() -> None:
    """Whether it began it or joined it: the sign-in is not begun again, and its passcode may be good for one."""
    iam = Iam()
    iam.gate = anyio.Event()
    tokens = Tokens(iam)
    waiting = [asyncio.create_task(value(tokens, "p1")) for _ in range(3)]
    await until(lambda: iam.asked["p1"] == 1)
    for task in waiting[:2]:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    iam.gate.set()
    assert await waiting[2] == "p1-1"
    assert iam.asked == {"": 1, "p1": 1}


async def test_a_sign_in_goes_on_for_nobody() -> None:
    """It ends, and that of the account for which it waits, as soon as the last one has left; the next begins anew."""
    iam = Iam(takes=20.0)
    tokens = Tokens(iam)
    waiting = [asyncio.create_task(value(tokens, name)) for name in ("p1", "p1", "p2")]
    await until(lambda: iam.now == 1)
    for task in waiting:
        assert iam.now == 1
        task.cancel()
        await asyncio.wait([task])
    assert iam.now == 0
    assert iam.asked == {"": 1}
    iam.takes = 0.0
    assert await value(tokens, "p1") == "p1-1"


async def test_a_time_out_of_one_that_waits_is_its_own() -> None:
    """anyio's scopes cancel again and again; the sign-in notices nothing while another one waits."""
    iam = Iam()
    iam.gate = anyio.Event()
    tokens = Tokens(iam)
    async with anyio.create_task_group() as waiting:
        waiting.start_soon(value, tokens, "p1")
        await until(lambda: iam.asked["p1"] == 1)
        waiting.cancel_scope.cancel()
    assert iam.now == 0
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(value, tokens, "p1")
        await until(lambda: iam.asked["p1"] == 2)
        with anyio.move_on_after(0.02):
            await tokens.get("p1")
        assert iam.now == 1
        iam.gate.set()
    assert iam.asked == {"": 1, "p1": 2}


@pytest.mark.parametrize("error", [RuntimeError("a mistake"), ValueError("another")])
async def test_a_mistake_in_a_sign_in_is_one_error_for_all(error: Exception) -> None:
    """Not one sign-in, and one error, for each that waits."""
    asked: list[str] = []

    async def ask(project_id: str, base: Token | None) -> Token:
        asked.append(project_id)
        await asyncio.sleep(0)
        raise error

    tokens = Tokens(ask)
    raised = await asyncio.gather(*(tokens.get(name) for name in ("p1", "p1", "p2", "")), return_exceptions=True)
    assert all(one is error for one in raised)
    assert asked == [""]


async def test_a_sign_in_that_others_cancel_is_begun_again() -> None:
    """Whoever waits is not cancelled with it, nor left without an answer."""
    iam = Iam()
    iam.gate = anyio.Event()
    tokens = Tokens(iam)
    task = asyncio.create_task(value(tokens, "p1"))
    await until(lambda: iam.asked["p1"] == 1)
    for other in asyncio.all_tasks() - {task, asyncio.current_task()}:
        other.cancel()
    await until(lambda: iam.asked["p1"] == 2)
    iam.gate.set()
    assert await task == "p1-2"


@pytest.mark.parametrize(("life", "good"), [(DAY, DAY - 120), (100.0, 80.0), (float("inf"), float("inf"))])
def test_a_token_is_renewed_before_it_expires(life: float, good: float) -> None:
    """Two minutes before, or with a fifth of its life left; the sign-in's own time counts against it."""
    now = 1000.0
    iam = Iam(life)
    tokens = Tokens(iam, lambda: now)

    async def run() -> None:
        nonlocal now
        assert tokens.left(await tokens.get("p1")) == good
        now += good - 1 if good < float("inf") else DAY
        assert await value(tokens, "p1") == "p1-1"
        now += 1
        renewed = "p1-2" if good < float("inf") else "p1-1"
        assert await value(tokens, "p1") == renewed
        assert tokens.left(await tokens.get("p1")) == good

    run_virtual(run())


def test_a_slow_sign_in_shortens_what_is_left() -> None:
    """The server's time runs from the moment it issued the token, which may be the first of the sign-in."""

    async def run() -> None:
        clock = asyncio.get_running_loop().time
        tokens = Tokens(Iam(100.0, takes=0.1), clock)
        token = await tokens.get("p1")
        assert token.good_until == pytest.approx(0.1 + 80.0, abs=0.01)  # the account's own took the first 0.1 s
        assert tokens.left(token) == pytest.approx(79.9, abs=0.01)
        await anyio.sleep(200)
        assert tokens.left(token) == 0

    run_virtual(run())


async def test_a_refused_token_is_replaced_once() -> None:
    """However many requests carried it; a late answer to the old one leaves the new one alone."""
    iam = Iam()
    tokens = Tokens(iam)
    old = (await tokens.get("p1")).headers
    for _ in range(3):
        tokens.forget("p1", {"Accept": "x", **old})
        assert await value(tokens, "p1") == "p1-2"
    tokens.forget("unknown", old)
    tokens.forget("p1", {})
    assert iam.asked == {"": 1, "p1": 2}


async def test_a_refused_account_is_never_asked_again() -> None:
    """One wrong password for a hundred projects, at once or later."""
    iam = Iam()
    iam.refusal[""] = wrong_password()
    tokens = Tokens(iam)
    errors = await gathered(tokens, *(f"p{number}" for number in range(100)), "")
    errors += await gathered(tokens, "p1", "")
    assert all(isinstance(error, SignInFailed) and error.reply.whole_account for error in errors)
    assert iam.asked == {"": 1}


@pytest.mark.parametrize("verdict", [Verdict.THROTTLED, Verdict.TRANSIENT, Verdict.UNREACHABLE])
async def test_an_account_that_could_not_be_asked_is_asked_again(verdict: Verdict) -> None:
    """Only a refusal is remembered."""
    iam = Iam()
    iam.refusal[""] = SignInFailed("later", verdict=verdict)
    tokens = Tokens(iam)
    with pytest.raises(SignInFailed, match="later"):
        await tokens.get("p1")
    iam.refusal.clear()
    assert await value(tokens, "p1") == "p1-1"
    assert iam.asked == {"": 2, "p1": 1}


async def test_a_password_that_changes_in_mid_run_is_refused_a_few_times_only() -> None:
    """Tokens of 200 projects are revoked: the first refusals make the account prove itself again, and that ends it."""
    iam = Iam()
    tokens = Tokens(iam)
    names = [f"p{number}" for number in range(200)]
    await gathered(tokens, *names)
    for name in names:
        tokens.forget(name, (await tokens.get(name)).headers)
        iam.refusal[name] = SignInFailed("401")
    iam.refusal[""] = wrong_password()
    iam.asked.clear()
    errors = await gathered(tokens, *names)
    assert all(isinstance(error, SignInFailed) and error.reply.whole_account for error in errors)
    assert iam.asked.total() <= 5
    assert iam.asked[""] == 1


async def test_a_project_that_is_taken_away_in_mid_run_stops_alone() -> None:
    """The account proves itself again, and the refusal is the project's."""
    iam = Iam()
    tokens = Tokens(iam)
    tokens.forget("p1", (await tokens.get("p1")).headers)
    iam.refusal["p1"] = SignInFailed("401")
    with pytest.raises(SignInFailed) as caught:
        await tokens.get("p1")
    assert not caught.value.reply.whole_account
    assert await value(tokens, "p2") == "p2-1"
    assert iam.asked == {"": 2, "p1": 2, "p2": 1}


NewLoop = Callable[[], asyncio.AbstractEventLoop]


def loops() -> list[Any]:
    """The ways to make a loop that are installed."""
    made = [pytest.param(asyncio.new_event_loop, id="asyncio")]
    if importlib.util.find_spec("uvloop"):
        made.append(pytest.param(importlib.import_module("uvloop").new_event_loop, id="uvloop"))
    return made


@pytest.mark.parametrize("new_loop", loops())
def test_what_needs_no_waiting_may_be_done_in_a_plain_callback(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """A timer or signal handler runs in no task: a credential is made there, its tokens are asked for and dropped."""

    async def run() -> Tokens:
        made: asyncio.Future[Tokens] = asyncio.get_running_loop().create_future()

        def callback() -> None:
            tokens = Tokens(Iam())
            tokens.forget("p1", {HEADER: "x"})
            assert signing(lambda project_id, base: Token({HEADER: "t"})).invalidate("p1", {})
            made.set_result(tokens)

        asyncio.get_running_loop().call_later(0.001, callback)
        tokens = await made
        assert await gathered(tokens, "p1", "p1") == ["p1-1"] * 2
        token = await tokens.get("p1")
        asyncio.get_running_loop().call_soon(tokens.left, token)
        asyncio.get_running_loop().call_soon(tokens.forget, "p1", token.headers)
        await asyncio.sleep(0)
        assert await value(tokens, "p1") == "p1-2"
        return tokens

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())


@pytest.mark.parametrize("new_loop", loops())
def test_all_that_wait_see_one_error_or_one_token(new_loop: NewLoop) -> None:
    """Fifty for one project, of which some are cancelled: one sign-in, whether it fails or not."""

    async def run() -> None:
        iam = Iam()
        iam.gate = anyio.Event()
        tokens = Tokens(iam)
        waiting = [asyncio.create_task(value(tokens, "p1")) for _ in range(50)]
        await until(lambda: iam.asked["p1"])
        for task in waiting[::7]:
            task.cancel()
        iam.refusal["p1"] = SignInFailed("busy", verdict=Verdict.THROTTLED)
        iam.gate.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {str(one) for one in results if isinstance(one, SignInFailed)} == {"busy"}
        assert sum(isinstance(one, asyncio.CancelledError) for one in results) == len(waiting[::7])
        assert iam.asked == {"": 1, "p1": 1}

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())


# ---- the same through `KeystoneAuth`, whose sign-in blocks a thread --------------------------------------------------


def signing(function: Callable[[str, Token | None], Token], timeout: float = 30.0) -> KeystoneAuth:
    """A credential that signs in with this function."""
    return KeystoneAuth(CLOUD, sign_in=function, sign_in_timeout=timeout)


async def test_the_sign_in_blocks_a_thread_and_not_the_loop() -> None:
    """A base sign-in that hangs leaves the loop free, and one thread is enough for all that wait."""
    release, calls = threading.Event(), list[str]()

    def sign_in(project_id: str, base: Token | None) -> Token:
        calls.append(project_id)
        release.wait(20)
        return Token({HEADER: project_id or "account"})

    auth = signing(sign_in)
    async with anyio.create_task_group() as tasks:
        for project_id in ("p1", "p1", "p2"):
            tasks.start_soon(auth.prepare, project_id)
        await until(lambda: calls)
        assert calls == [""]
        release.set()
    assert sorted(calls) == ["", "p1", "p2"]
    request = Request("GET", "https://sdrs.test")
    headers = await auth.sign(request, "p1")
    assert headers == {HEADER: "p1"}
    assert auth.invalidate("p1", headers)
    assert await auth.sign(request, "p1") == {HEADER: "p1"}
    assert sorted(calls) == ["", "p1", "p1", "p2"]


async def test_a_sign_in_that_never_ends_is_given_up() -> None:
    """It counts as no answer in time; another try may do better."""
    release = threading.Event()

    def sign_in(project_id: str, base: Token | None) -> Token:
        release.wait(60)
        return Token({HEADER: "late"})

    auth = signing(sign_in, 0.05)
    with pytest.raises(
        SignInFailed, match=r"cloud 'prod': no token from https://iam\.test/v3 within 0\.05 s"
    ) as caught:
        await auth.prepare("p1")
    reply = caught.value.reply
    assert (reply.verdict, reply.timed_out, reply.retryable) == (Verdict.UNREACHABLE, True, True)
    release.set()


def test_one_credential_serves_runs_one_after_the_other() -> None:
    """Each with an event loop of its own: a token outlives the loop."""
    calls: list[str] = []

    def sign_in(project_id: str, base: Token | None) -> Token:
        calls.append(project_id)
        return Token({HEADER: project_id or "account"}, DAY)

    auth = signing(sign_in)
    assert [asyncio.run(auth.prepare("p1")) > 0 for _ in range(2)] == [True, True]
    assert calls == ["", "p1"]
