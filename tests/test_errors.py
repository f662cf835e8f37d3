"""Wrong use is refused before anything is read or sent, in one sentence: which argument, what it should be."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from sdrs_async import (
    Account,
    AkSk,
    ConfigError,
    Limits,
    Request,
    RetryPolicy,
    Session,
    StaticToken,
    clean,
    connect,
    stream,
)
from sdrs_async.report import Ledger
from sdrs_async.simulator import Simulator

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

URL = "https://sdrs.example"
SECRET = "gAAAA-very-secret"


@dataclass
class Shown:
    """A credential of somebody else, whose repr shows all that it holds."""

    token: str

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """Whatever."""
        return {"X-Auth-Token": self.token}

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """No."""
        return False


class NoInvalidate:
    """Half of a credential."""

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """Whatever."""
        return {}


WRONG: dict[str, tuple[Any, ...]] = {
    "auth must be a credential": (SECRET, None, StaticToken, {"X-Auth-Token": SECRET}, NoInvalidate()),
    "endpoint must be text": (
        None,
        5,
        f"https://user:{SECRET}@sdrs.example".encode(),
        [f"https://user:{SECRET}@sdrs.example"],
    ),
    "iam_endpoint must be text or None": (5, [f"https://user:{SECRET}@iam.example"], True),
    "limits must be a Limits or None": ("10/s", {"project_rate": "10/s"}, 10, "", {}, 0),
    "ca_file must be text or a path or None": (5, True, b"ca.pem"),
    "allow_http must be True or False": ("no", 1, None),
    "retry must be a RetryPolicy or None": (3, {"attempts": 3}, 0, {}, "5"),
    "read_ahead must be a whole number of at least 1": ("many", True, None, 0, 2.5),
}
CASES = [(says, says.split()[0], value) for says, values in WRONG.items() for value in values]


@pytest.mark.parametrize(("says", "name", "value"), CASES)
async def test_a_wrong_argument_is_named(says: str, name: str, value: Any) -> None:
    """`clean()` and `stream()` say of each argument what it should be, and show no credential."""
    how: dict[str, Any] = {"endpoint": URL, "auth": StaticToken("t"), name: value}
    with pytest.raises(ConfigError, match=f"^{re.escape(says)}.*, not ") as one:
        await clean([], **how)
    with pytest.raises(ConfigError) as other:
        async with stream([], **how):
            pytest.fail("it began")
    assert str(one.value) == str(other.value)
    assert SECRET not in str(one.value)


@pytest.mark.parametrize(
    "targets", [None, 5, SECRET, SECRET.encode(), StaticToken("t"), Account("a", URL, Shown(SECRET))]
)
async def test_what_is_given_for_targets_is_not_shown_where_it_may_be_secret(targets: Any) -> None:
    """A token in the place of the targets, or an account, is refused without being printed."""
    with pytest.raises(ConfigError, match=r"^targets must be an iterable, an async iterable or a mapping") as caught:
        await clean(targets, endpoint=URL, auth=Shown(SECRET))
    assert SECRET not in str(caught.value)


async def test_the_ids_of_projects_are_text() -> None:
    """A mapping is from ids to groups."""
    mapping: Any = {5: ["g"]}
    with pytest.raises(ConfigError, match=r"^project_id 5 is refused: an id is text"):
        await clean(mapping, endpoint=URL, auth=StaticToken("t"))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"name": None}, "the name of an account must be text, not None"),
        ({"region": 5}, "region must be text or None, not 5"),
        ({"limits": None}, "limits must be a Limits, not None"),
        ({"weight": True}, "the weight of account a must be a whole number from 1 to 100, not True"),
    ],
)
def test_an_account_is_checked_when_it_is_made(how: dict[str, Any], says: str) -> None:
    """So that the line is named in which it was made."""
    with pytest.raises(ConfigError, match=f"^{re.escape(says)}$"):
        Account(**{"name": "a", "endpoint": URL, "auth": StaticToken("t"), **how})


def test_an_account_does_not_show_its_credential() -> None:
    """Nobody knows what the repr of somebody's own credential shows."""
    assert SECRET not in repr(Account("a", URL, Shown(SECRET)))


@pytest.mark.parametrize(
    ("accounts", "how", "says"),
    [
        (None, {}, "accounts must be an Account, or several of them, not None"),
        (SECRET, {}, "accounts must be an Account, or several of them, not of type str"),
        ([Shown(SECRET)], {}, "accounts must be an Account, or several of them, not of type Shown"),
        (Account, {}, "accounts must be an Account, or several of them, not the class Account itself"),
        (["a", "b", "a"], {}, "a session needs one account or more, each with a name of its own, not ['a', 'b', 'a']"),
        ([""], {}, "the name of an account must be text, and not empty, not ''"),
        (["a"], {"retry": 3}, "retry must be a RetryPolicy or None, not 3"),
        (["a"], {"read_ahead": True}, "read_ahead must be a whole number of at least 1, not True"),
        (
            ["a"],
            {"concurrency": True},
            "concurrency must be a whole number of at least 1, or None for no cap, not True",
        ),
        (
            ["a"],
            {"concurrency": "64"},
            "concurrency must be a whole number of at least 1, or None for no cap, not '64'",
        ),
    ],
)
def test_what_connect_gets_is_checked(accounts: Any, how: dict[str, Any], says: str) -> None:
    """Before anything is opened."""
    if isinstance(accounts, list) and isinstance(accounts[0], str):
        accounts = [Account(name, URL, StaticToken("t")) for name in accounts]
    with pytest.raises(ConfigError, match=f"^{re.escape(says)}$"):
        connect(accounts, **how)


async def _clean(session: Session) -> None:
    await session.clean([("p", "g")])


async def _stream(session: Session) -> None:
    async with session.stream([("p", "g")]):
        pytest.fail("it began")


async def _find(session: Session) -> None:
    async with session.find([("p", "g")]):
        pytest.fail("it began")


async def _lists(session: Session) -> None:
    async with session.lists():
        pytest.fail("it began")


@pytest.mark.parametrize("use", [_clean, _stream, _find, _lists])
async def test_a_session_works_only_while_it_is_entered(use: Callable[[Session], Any]) -> None:
    """`connect()` without `async with`, and a session that was left, say how it is done."""
    session = connect(Account("a", URL, StaticToken("t")))
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"inside `async with connect\(\.\.\.\) as session:` only"):
            await use(session)
        async with session:  # and the second time it is one that was left
            pass


async def test_a_session_is_entered_once_at_a_time() -> None:
    """Entered within itself it would lose its connections; after its end it may be entered again."""
    async with Simulator(projects=1, groups=2) as cloud:
        session = connect(Account("a", cloud.url, StaticToken(cloud.token)))
        async with session:
            with pytest.raises(ConfigError, match="in use already"):
                async with session:
                    pytest.fail("it was entered")
            assert (await session.clean(cloud.targets[:1])).targets["done"] == 1
        async with session:
            assert (await session.clean(cloud.targets[1:])).targets["done"] == 1


async def test_lists_are_of_an_account_of_the_session() -> None:
    """Its name, or a stranger, is refused at the call and not at the first page."""
    wrong: Any = "a"
    stranger = Account("b", URL, StaticToken("t"))
    async with connect(Account("a", URL, StaticToken("t"))) as session, session.lists() as lists:
        with pytest.raises(ConfigError, match=r"^account must be an Account of this session, not of type str"):
            lists.projects(wrong)
        with pytest.raises(ConfigError, match="account b is not one of this session"):
            lists.groups(stranger, "p")
        with pytest.raises(ConfigError, match=r"^report must be the Report of a finding, or None, not 5"):
            async with session.stream([], report=wrong and 5):  # type: ignore[arg-type]  # that is the test
                pytest.fail("it began")


class Plain:
    """A credential whose `sign` is no coroutine function; it gives what it is made with."""

    def __init__(self, gives: Callable[[Request, str], Any]) -> None:
        self.sign = gives

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """No."""
        return False


async def test_a_sign_that_is_no_coroutine_is_named() -> None:
    """Headers that are given at once stop the run before anything is sent, and say what is wrong."""
    async with Simulator(projects=1, groups=1) as cloud:
        with pytest.raises(ConfigError, match="the `sign` of Plain must be `async def`"):
            await clean(cloud.targets, endpoint=cloud.url, auth=Plain(lambda request, project_id: {}))
        assert cloud.log == []


async def test_a_prepare_that_is_no_coroutine_is_named() -> None:
    """The same for what signs in to a project."""
    async with Simulator(projects=1, groups=1) as cloud:
        auth = StaticToken(cloud.token)
        auth.prepare = lambda project_id: 60.0  # type: ignore[attr-defined]  # one of those that an `Auth` may have
        with pytest.raises(ConfigError, match="the `prepare` of StaticToken must be `async def`"):
            await clean(cloud.targets, endpoint=cloud.url, auth=auth)
        assert cloud.log == []


@pytest.mark.parametrize("one_key", [False, True])
async def test_a_credential_needs_no_hash(one_key: bool) -> None:
    """A dataclass that can be compared has none, and signs as well as any other object."""
    async with Simulator(projects=2, groups=2) as cloud:
        auth = Shown(cloud.token)
        auth.one_key = one_key  # type: ignore[attr-defined]  # one of the attributes that an `Auth` may have
        report = await clean(cloud.targets, endpoint=cloud.url, auth=auth)
    assert report.targets["done"] == 4


async def test_a_sign_may_hand_on_the_coroutine_of_another() -> None:
    """A plain function that returns a coroutine is as good as a coroutine function."""
    async with Simulator(projects=1, groups=2) as cloud:
        inner = StaticToken(cloud.token)

        def handed_on(request: Request, project_id: str) -> Any:
            return inner.sign(request, project_id)

        report = await clean(cloud.targets, endpoint=cloud.url, auth=Plain(handed_on))
        wrapped = await clean(cloud.targets, endpoint=cloud.url, auth=Plain(partial(inner.sign)))
    assert (report.targets["done"], wrapped.targets["planned"]) == (2, 2)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"limits": "10/s"}, "limits must be a Limits, a Scopes or None, not '10/s'"),
        ({"max_failures": True}, "max_failures must be a whole number of at least 0, or None, not True"),
        ({"max_failures": "9"}, "max_failures must be a whole number of at least 0, or None, not '9'"),
    ],
)
def test_a_report_of_ones_own_is_checked(how: dict[str, Any], says: str) -> None:
    """Reports are made by users too, to merge others into."""
    with pytest.raises(ConfigError, match=f"^{re.escape(says)}$"):
        Ledger(**how)


def test_a_report_is_merged_with_a_report() -> None:
    """Its JSON has to be read first."""
    report: Any = Ledger()
    with pytest.raises(ConfigError, match=r"^what is merged must be a Report, as Report\.from_dict\(\.\.\.\), not \{"):
        report.merge(Ledger().to_dict())


@pytest.mark.parametrize("value", [True, "5", math.nan, math.inf])
def test_what_is_given_is_shown(value: Any) -> None:
    """The value itself, so that it can be found; of a long one the start."""
    with pytest.raises(ConfigError, match=f", not {value!r}$"):
        RetryPolicy(timeout=value)
    with pytest.raises(ConfigError) as caught:
        Limits(concurrency=[value] * 1000)  # type: ignore[arg-type]  # that is the test
    assert len(str(caught.value)) < 160


@pytest.mark.parametrize("given", [("", "s"), ("a", ""), (None, "s"), ("a", 5), ("a\n", "s")])
def test_keys_are_never_shown(given: Any) -> None:
    """What is wrong with a key or a token is said without it."""
    with pytest.raises(ConfigError, match=r"^the (access|secret) key is empty or holds characters"):
        AkSk(*given)
