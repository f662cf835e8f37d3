"""The plain data: rates and their spellings, limits, the retry policy, and what a repr must not show."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.errors import AuthenticationError, ConfigError, JournalError, SdrsError
from sdrs_async.limits import Limits, Rate, RetryPolicy
from sdrs_async.models import Outcome, Reply, Request, Target, Verdict
from tests.support.engine_runs import Service, fleet, settle

TARGET = Target("p", "g")


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", Rate(10)),
        ("10/sec", Rate(10)),
        ("10/second", Rate(10)),
        ("10/1seconds", Rate(10)),
        ("  10 / 2 s ", Rate(10, 2)),
        ("200/5min", Rate(200, 300)),
        ("200/5 Minutes", Rate(200, 300)),
        ("200/300s", Rate(200, per=300)),
        ("1/m", Rate(1, 60)),
        ("1/minute", Rate(1, 60)),
        ("3/h", Rate(3, 3600)),
        ("3/2hours", Rate(3, 7200)),
        ("3/1hour", Rate(3, 3600)),
        ("7/0.5s", Rate(7, 0.5)),
        ("7/1e-3s", Rate(7, 0.001)),
        ("200/5min burst 20", Rate(200, 300, burst=20)),
        ("200/5min  Burst  20", Rate(200, 300, burst=20)),
    ],
)
def test_a_rate_may_be_spelled_in_every_usual_way(text: str, rate: Rate) -> None:
    """A count, a slash, and a time with or without a number: the string equals the object."""
    assert Rate.parse(text) == rate
    assert hash(Rate.parse(text)) == hash(rate)


@pytest.mark.parametrize("text", [None, "none", "None", " NONE "])
def test_no_rate_means_unlimited(text: str | None) -> None:
    """`None` and `none` lift a limit."""
    assert Rate.parse(text) is None


def test_a_rate_object_passes_as_it_is() -> None:
    """Where a string is allowed, so is the object."""
    rate = Rate(5, per=2)
    assert Rate.parse(rate) is rate


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("10/fortnight", "unknown unit 'fortnight': use s, min or h"),
        ("10/ms", "unknown unit 'ms'"),
        ("0/s", "the count of a rate must be a whole number of at least 1, not 0"),
        ("10/0s", "the time of a rate must be a number of seconds above 0"),
        ("10/0min", "the time of a rate must be a number of seconds above 0"),
        (f"10/{'9' * 400}h", "the time of a rate must be a number of seconds above 0"),
        ("-1/s", "not understood"),
        ("10/-1s", "not understood"),
        ("10", "not understood"),
        ("", "not understood"),
        ("/s", "not understood"),
        ("10/", "not understood"),
        ("ten/s", "not understood"),
        ("1.5/s", "not understood"),
        ("10/s/s", "not understood"),
        ("10/s extra", "not understood"),
        ("10 per s", "not understood"),
        ("unlimited", "not understood"),
        ("\N{ARABIC-INDIC DIGIT ONE}/s", "not understood"),
        (f"{'1' * 5000}/s", "not understood"),
        (10, "not understood"),
        (10.0, "not understood"),
        ([], "not understood"),
    ],
)
def test_a_rate_that_is_none_is_refused_with_the_form(value: Any, says: str) -> None:
    """Whatever is no rate is one clear error."""
    with pytest.raises(ConfigError, match=says):
        Rate.parse(value)


@pytest.mark.parametrize(
    ("count", "per"),
    [
        (0, 1),
        (-1, 1),
        (1, 0),
        (1, -1),
        (1, math.inf),
        (1, math.nan),
        (1.5, 1),
        ("1", 1),
        (True, 1),
        (1, "s"),
        (1, True),
    ],
)
def test_a_rate_object_is_checked_too(count: Any, per: Any) -> None:
    """A rate that can never be kept, or has half a request in it, cannot be made."""
    with pytest.raises(ConfigError, match=r"^the (count|time) of a rate must be a .*number"):
        Rate(count, per)


@given(
    st.integers(1, 10**12 - 1),
    st.floats(1e-6, 1e11) | st.integers(1, 10**6),
    st.none() | st.integers(1, 10**6),
)
def test_a_rate_is_the_same_after_a_trip_through_its_text(count: int, per: float, burst: int | None) -> None:
    """What a message or a help text shows of a rate can be typed in again."""
    assert Rate.parse(str(Rate(count, per, burst))) == Rate(count, per, burst)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Rate(1, 1e-300), "the time of a rate must be from 1e-6 to 1e11 seconds, not 1e-300"),
        (lambda: Rate(1, 1e12), "the time of a rate must be from 1e-6 to 1e11 seconds, not 1000000000000.0"),
        (lambda: Rate(10**12), "the count of a rate must be at most 999,999,999,999, not 1000000000000"),
        (lambda: Rate.parse("1/1e-9s"), "the time of a rate must be from 1e-6 to 1e11 seconds, not 1e-09"),
        (lambda: Rate(1, 10**400), "the time of a rate must be a number of seconds above 0, not 1000"),
        (lambda: Limits(user_rate="1/9e99h"), "the time of a rate must be from"),
        (lambda: Limits(concurrency=10**9), "concurrency must be at most 999,999,999, or None for no cap"),
        (lambda: Limits(project_concurrency=10**400), "project_concurrency must be at most 999,999,999"),
        (lambda: RetryPolicy(attempts=10**400), "attempts must be at most 999,999,999, not 1000"),
        (lambda: RetryPolicy(timeout=1e300), r"timeout must be at most 1e11 seconds, not 1e\+300"),
        (lambda: RetryPolicy(total=10**400), "total must be a number of seconds above 0, not 1000"),
        (lambda: RetryPolicy(base=math.nan), "base must be a number of seconds above 0, not nan"),
    ],
)
def test_a_number_that_nobody_means_is_refused(make: Callable[[], object], says: str) -> None:
    """Shorter than clocks can tell, longer than they run, more than anybody counts: an error here, none in a run."""
    with pytest.raises(ConfigError, match=says):
        make()


@pytest.mark.parametrize("per", [1e-6, 1e11])
@pytest.mark.parametrize("count", [1, 999_999_999_999])
def test_the_utmost_rates_are_kept(count: int, per: float) -> None:
    """Whatever can be made works, in each scope."""
    for scope in ("project_rate", "user_rate", "endpoint_rate"):
        rates: dict[str, Any] = {"project_rate": None, "endpoint_rate": None, scope: Rate(count, per)}
        limits = Limits(**rates)
        targets = fleet(1, 1) if per > 1 and count == 1 else fleet(2, 30)
        assert set(settle(Service(), targets, limits).verdicts()) == {Verdict.DELETED}


@pytest.mark.parametrize("burst", [0, -1, 1.5, True, "2"])
def test_a_burst_is_a_count(burst: Any) -> None:
    """Nothing could ever be sent at a burst of none."""
    with pytest.raises(ConfigError, match="burst of a rate"):
        Rate(200, 300, burst)


@pytest.mark.parametrize(
    ("rate", "text"),
    [(Rate(10), "10/s"), (Rate(200, per=300), "200/5min"), (Rate(7, 0.5), "7/0.5s"), (Rate(9, 90, 3), "9/90s burst 3")],
)
def test_a_rate_reads_well(rate: Rate, text: str) -> None:
    """The text of a rate is the one a user would type."""
    assert str(rate) == text


@given(st.text() | st.from_regex(r"\d+\s?/\s?\d*[a-z]+"))
def test_any_text_is_a_rate_or_a_configuration_error(text: str) -> None:
    """No text makes the parser fail in another way."""
    try:
        rate = Rate.parse(text)
    except ConfigError:
        return
    assert rate is None or (rate.count >= 1 and 0 < rate.per < math.inf)


def test_limits_take_strings_and_objects_alike() -> None:
    """Limits spelled in different ways are equal, so that a report and a plan can be compared."""
    spelled = Limits(project_rate="200/5min", user_rate="50/s", endpoint_rate="none")
    assert spelled == Limits(project_rate=Rate(200, per=300), user_rate=Rate(50), endpoint_rate=None)


def test_the_default_limits_are_those_of_the_contract() -> None:
    """Ten per second and eight at once for a project, 200 per second and 64 at once in all."""
    assert Limits() == Limits("10/s", 8, None, "200/s", 64)


@pytest.mark.parametrize("name", ["project_concurrency", "concurrency"])
@pytest.mark.parametrize("value", [0, -1, 1.5, 2.0, "8", True])
def test_a_cap_is_a_positive_whole_number(name: str, value: Any) -> None:
    """A cap below one would stop everything; the message names it."""
    with pytest.raises(ConfigError, match=f"^{name} must be a whole number of at least 1"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", ["project_concurrency", "concurrency"])
def test_a_cap_can_be_lifted(name: str) -> None:
    """`None` lifts a cap, as it lifts a rate."""
    assert getattr(Limits(**{name: None}), name) is None


@pytest.mark.parametrize("name", ["project_rate", "user_rate", "endpoint_rate"])
def test_limits_refuse_what_is_no_rate(name: str) -> None:
    """Each rate is checked when the limits are made."""
    with pytest.raises(ConfigError, match="not understood"):
        Limits(**{name: "fast"})  # type: ignore[arg-type]  # a name is not a literal here


def test_the_default_policy_is_that_of_the_contract() -> None:
    """Five tries of 30 s, waits of 0.5 to 30 s, ten minutes in all."""
    assert RetryPolicy() == RetryPolicy(attempts=5, timeout=30.0, base=0.5, cap=30.0, total=600.0)


@pytest.mark.parametrize("name", ["timeout", "base", "cap", "total"])
@pytest.mark.parametrize("value", [0, -0.1, math.nan, math.inf, None, "5", True])
def test_times_of_a_policy_are_above_zero(name: str, value: Any) -> None:
    """Each time is checked, and the message names it."""
    with pytest.raises(ConfigError, match=f"^{name} must be a number of seconds above 0, not "):
        RetryPolicy(**{name: value})


@pytest.mark.parametrize("attempts", [0, -1, 1.5, "5", True, None])
def test_a_policy_has_at_least_one_try(attempts: Any) -> None:
    """No tries at all is no policy; one is."""
    with pytest.raises(ConfigError, match=f"^attempts must be a whole number of at least 1, not {attempts!r}$"):
        RetryPolicy(attempts=attempts)
    assert RetryPolicy(attempts=1).attempts == 1


@pytest.mark.parametrize("item", [TARGET, Rate(1), Limits(), RetryPolicy(), Outcome(TARGET, Verdict.DELETED)])
def test_what_is_handed_out_is_frozen(item: Any) -> None:
    """A caller cannot change what a run relies on."""
    for field in dataclasses.fields(item):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(item, field.name, None)


def test_targets_are_values() -> None:
    """Equal ids make equal targets, which sort by project and then by group."""
    assert {Target("p", "g"), Target("p", "g")} == {TARGET}
    assert sorted([Target("b", "1"), Target("a", "2"), Target("a", "1")]) == [
        Target("a", "1"),
        Target("a", "2"),
        Target("b", "1"),
    ]


def test_verdicts_are_spelled_as_the_contract_spells_them() -> None:
    """A verdict is its own text, in reports and messages."""
    assert [str(verdict) for verdict in Verdict] == [
        *("deleted", "read", "gone", "rejected", "unauthorized", "forbidden", "conflict", "throttled", "transient"),
        *("unreachable", "skipped", "unsettled", "incomplete"),
    ]
    assert f"{Verdict.GONE}" == "gone"


def test_a_request_does_not_show_its_headers() -> None:
    """Headers carry the credential: neither repr nor text holds them."""
    request = Request("DELETE", "https://sdrs.test/v1", {"X-Auth-Token": "top-secret"})
    assert "top-secret" not in f"{request!r} {request}"
    assert "X-Auth-Token" not in repr(request)
    assert request.headers["X-Auth-Token"] == "top-secret"


def test_a_reply_was_sent_and_may_be_retried_unless_it_says_otherwise() -> None:
    """The rare cases are the ones that are spelled out."""
    reply = Reply(Verdict.TRANSIENT)
    assert (reply.sent, reply.retryable, reply.timed_out, reply.scope) == (True, True, False, "project")


@pytest.mark.parametrize("kind", [ConfigError, AuthenticationError, JournalError])
def test_all_errors_are_of_one_family_and_may_carry_a_report(kind: type[SdrsError]) -> None:
    """`except SdrsError` catches what stops a run; without a run there is no report."""
    error = kind("what happened")
    assert isinstance(error, SdrsError)
    assert str(error) == "what happened"
    assert error.report is None
