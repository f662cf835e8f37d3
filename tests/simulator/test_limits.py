"""The simulator's limiter, and the count of arrivals in windows that everybody's promises are judged by."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.simulator import Entry, Simulator
from sdrs_async.simulator.limits import Limiter, Rate, parse_rate, policy_text
from sdrs_async.simulator.log import most_in_window

# Quarters of a second, so that every sum and difference is exact.
QUARTERS = st.lists(st.integers(0, 200), max_size=60).map(lambda numbers: [number / 4 for number in sorted(numbers)])


def admitted(limiter: Limiter, times: list[float], project: str = "p") -> list[bool]:
    """Whether each arrival of one project gets in."""
    return [limiter.refuse(at, project, "u") is None for at in times]


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("50/s", Rate(50, 1)),
        ("200/5min", Rate(200, 300)),
        ("1/h", Rate(1, 3600)),
        ("7/10s", Rate(7, 10)),
        ("none", None),
        (None, None),
    ],
)
def test_rates_are_read(text: str | None, rate: Rate | None) -> None:
    """A count, and a time in seconds, minutes or hours."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "5", "0/s", "5/0s", "5/day", "5 per s", "-1/s", "1.5/s"])
def test_a_rate_that_is_none_is_refused_with_the_form(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match=r"write it like 50/s, 200/5min or none"):
        Simulator(project_rate=text)


def test_an_unknown_window_is_refused() -> None:
    """There are three."""
    with pytest.raises(ValueError, match="use sliding, fixed, bucket"):
        Simulator(window="rolling")


def test_the_gateway_names_the_window_in_its_largest_unit() -> None:
    """As in its documented text."""
    assert policy_text("app", Rate(50, 1)) == "app over ratelimit,limit:50,time:1 second"
    assert policy_text("user", Rate(200, 300)) == "user over ratelimit,limit:200,time:5 minute"
    assert policy_text("api", Rate(9, 7200)) == "api over ratelimit,limit:9,time:2 hour"
    assert policy_text("api", Rate(9, 90)) == "api over ratelimit,limit:9,time:90 second"


def test_a_sliding_window_looks_back_from_each_arrival() -> None:
    """The third within a second is refused, and the place of the first is free a second after it."""
    assert admitted(Limiter(project="2/s"), [0.5, 0.75, 1.25, 1.5, 1.625, 1.75]) == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]


def test_a_fixed_window_starts_at_the_clock_s_full_seconds() -> None:
    """Twice the count can pass around its edge, and no more until the next."""
    times = [0.8, 0.9, 0.95, 1.0, 1.1, 1.9, 2.0]
    assert admitted(Limiter(project="2/s", window="fixed"), times) == [True, True, False, True, True, False, True]


def test_a_bucket_gives_out_all_it_holds_and_then_what_it_gains() -> None:
    """Two at once, then one each half second; after a long rest no more than two again."""
    times = [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 9.0, 9.0, 9.0, 9.5]
    assert admitted(Limiter(project="2/s", window="bucket"), times) == [
        *(True, True, False, True, False, True),
        *(True, True, False, True),
    ]


def test_a_bucket_can_count_refusals_too() -> None:
    """Each takes a token that is not there: the one after them has to wait for it as well."""
    times = [0.0, 0.25, 1.0, 2.0]
    assert admitted(Limiter(project="1/s", window="bucket", count_refused=True), times) == [True, False, False, False]
    assert admitted(Limiter(project="1/s", window="bucket"), times) == [True, False, True, True]


@given(QUARTERS, st.integers(1, 5), st.integers(1, 4))
def test_a_bucket_admits_no_more_than_it_held_and_gained(times: list[float], count: int, per: int) -> None:
    """Between any two arrivals that got in: the count, and the rate times the time between them."""
    got = admitted(Limiter(project=f"{count}/{per}s", window="bucket"), times)
    inside = [at for at, good in zip(times, got, strict=True) if good]
    for first, begin in enumerate(inside):
        for more, end in enumerate(inside[first:], 1):
            assert more <= count + (end - begin) * count / per + 1e-6


def test_refusals_can_take_room_too() -> None:
    """Who keeps knocking stays outside where they count, and gets in on time where they do not."""
    times = [0.0, 0.5, 1.0, 1.5, 2.75]
    assert admitted(Limiter(project="1/s", count_refused=True), times) == [True, False, False, False, True]
    assert admitted(Limiter(project="1/s"), times) == [True, False, True, False, True]


def test_a_request_is_counted_in_all_of_its_windows_or_in_none() -> None:
    """One project's refusals take nothing from the user's window; the refusing scope is named."""
    limiter = Limiter(project="2/h", user="3/h", endpoint="4/h")
    assert [limiter.refuse(at, "a", "u") for at in (0.0, 1.0, 2.0, 3.0)][2:] == [
        "app over ratelimit,limit:2,time:1 hour"
    ] * 2
    assert limiter.refuse(4.0, "b", "u") is None
    assert limiter.refuse(5.0, "b", "u") == "user over ratelimit,limit:3,time:1 hour"
    assert limiter.refuse(6.0, "c", "other") is None
    assert limiter.refuse(7.0, "d", "third") == "api over ratelimit,limit:4,time:1 hour"


def test_an_address_has_a_limit_of_its_own() -> None:
    """All who come from it share it, whatever their project and user."""
    limiter = Limiter(address="2/h")
    assert limiter.refuse(0.0, "a", "u", "10.0.0.1") is None
    assert limiter.refuse(1.0, "b", "v", "10.0.0.1") is None
    assert limiter.refuse(2.0, "c", "w", "10.0.0.1") == "ip over ratelimit,limit:2,time:1 hour"
    assert limiter.refuse(3.0, "c", "w", "10.0.0.2") is None


@pytest.mark.parametrize("window", ["sliding", "fixed", "bucket"])
def test_a_limit_that_is_cut_counts_what_came_before(window: str) -> None:
    """Three of four have come: with two left to come in, none does until the window or bucket has room again."""
    limiter = Limiter(project="4/s", window=window)
    assert admitted(limiter, [4.0, 4.0, 4.0]) == [True] * 3
    limiter.change(project="1/s")
    assert admitted(limiter, [4.01, 5.5]) == [window == "bucket", True]  # a bucket still holds its fourth token
    assert admitted(limiter, [5.6]) == [False]


@pytest.mark.parametrize("window", ["sliding", "fixed", "bucket"])
def test_a_limit_that_grows_leaves_room_at_once(window: str) -> None:
    """The windows keep their count; a bucket has to gain what it can hold now."""
    limiter = Limiter(project="1/s", window=window)
    assert admitted(limiter, [4.0, 4.25]) == [True, False]
    limiter.change(project="3/s")
    assert admitted(limiter, [4.75] * 3) == [True, window != "bucket", False]


def test_a_limit_can_come_and_go() -> None:
    """One scope changes and the others stay as they are; what is no rate or scope changes nothing."""
    limiter = Limiter(project="1/h")
    limiter.change(user="2/h")
    assert [limiter.refuse(at, project, "u") for at, project in enumerate("aab")] == [
        *(None, "app over ratelimit,limit:1,time:1 hour", None),
    ]
    assert limiter.refuse(3, "c", "u") == "user over ratelimit,limit:2,time:1 hour"
    with pytest.raises(ValueError, match="use project, user, address, endpoint"):
        limiter.change(user=None, colour="1/h")
    with pytest.raises(ValueError, match="is not understood"):
        limiter.change(user=None, project="many")
    assert limiter.refuse(4, "c", "u") == "user over ratelimit,limit:2,time:1 hour"
    limiter.change(user="none")
    assert limiter.refuse(5, "c", "u") is None
    limiter.change(user="1/h")
    assert limiter.refuse(6, "d", "u") is None  # nobody counted meanwhile


@given(QUARTERS, st.integers(1, 5), st.integers(1, 4))
def test_no_window_ever_holds_more_than_the_limit(times: list[float], count: int, per: int) -> None:
    """Sliding: what got in keeps the limit in any window, and whoever was refused met a full one."""
    got_in: list[float] = []
    for at, good in zip(times, admitted(Limiter(project=f"{count}/{per}s"), times), strict=True):
        before = sum(at - per < other <= at for other in got_in)
        assert good == (before < count)
        if good:
            got_in.append(at)


@given(QUARTERS, st.integers(1, 5), st.integers(1, 4), st.booleans())
def test_a_fixed_window_admits_the_first_ones_of_each_interval(
    times: list[float], count: int, per: int, count_refused: bool
) -> None:
    """Fixed: exactly the first `count` arrivals of each interval, whether refusals count or not."""
    limiter = Limiter(project=f"{count}/{per}s", window="fixed", count_refused=count_refused)
    seen: dict[int, int] = {}
    for at, good in zip(times, admitted(limiter, times), strict=True):
        interval = int(at // per)
        assert good == (seen.get(interval, 0) < count)
        seen[interval] = seen.get(interval, 0) + 1


def entry(at: float, project: str | None = "p", route: str = "delete_group_failures") -> Entry:
    """An arrival."""
    return Entry(at, "DELETE", "/", "", route, project, "g", "", user="u")


@given(st.lists(st.tuples(st.integers(0, 100), st.sampled_from("pq")), max_size=50), st.integers(1, 20))
def test_the_most_in_any_window_is_what_counting_by_hand_gives(arrivals: list[tuple[int, str]], quarters: int) -> None:
    """For each arrival, count those less than `per` before it; the most of its project, and of the endpoint."""
    log = [entry(number / 4, project) for number, project in sorted(arrivals)]
    per = quarters / 4
    last = [[other for other in log if one.at - per < other.at <= one.at] for one in log]
    by_project = [
        sum(other.project_id == one.project_id for other in near) for one, near in zip(log, last, strict=True)
    ]
    assert most_in_window(log, per) == max(by_project, default=0)
    for by in ("endpoint", "user", "route", "server_group_id"):
        assert most_in_window(log, per, by=by) == max(map(len, last), default=0)


def test_a_window_is_of_sdrs_requests_or_of_one_route() -> None:
    """IAM and unknown paths are in none but their own."""
    log = [entry(0, None, "create_token"), entry(0), entry(0, route="list_groups"), entry(0, None, "unknown")]
    assert most_in_window(log, 1) == 2
    assert most_in_window(log, 1, "list_groups") == 1
    assert most_in_window(log, 1, "create_token") == 0  # it belongs to no project
    assert most_in_window(log, 1, "create_token", "endpoint") == 1


@pytest.mark.parametrize(
    ("rates", "policy"),
    [
        ({"project_rate": "2/5min"}, "app over ratelimit,limit:2,time:5 minute"),
        ({"user_rate": "2/h"}, "user over ratelimit,limit:2,time:1 hour"),
        ({"address_rate": "2/h"}, "ip over ratelimit,limit:2,time:1 hour"),
        ({"endpoint_rate": "2/h", "window": "fixed"}, "api over ratelimit,limit:2,time:1 hour"),
    ],
)
async def test_too_many_requests_get_the_gateway_s_answer(rates: dict[str, Any], policy: str) -> None:
    """429 with code 0308 and the limit in its text; nothing is deleted; IAM is not limited."""
    async with Simulator(**rates) as sim, aiohttp.ClientSession(headers={"X-Auth-Token": sim.token}) as session:
        for project, group in sim.targets[:3]:
            async with session.delete(f"{sim.url}/v1/{project}/task-center/{group}/failure-jobs/batch") as answer:
                body = await answer.read()
        assert [line.status for line in sim.log] == [204, 204, 429]
        assert f"The throttling threshold has been reached: policy {policy}".encode() in body
        assert b'"error_code": "APIGW.0308"' in body
        assert sim.remaining == 20
        assert sim.most_in_window(3600) == sim.most_in_window(3600, by="user") == 3
        async with session.get(f"{sim.url}/v3/auth/projects") as answer:
            assert answer.status == 200


async def test_a_hidden_limit_is_kept_and_not_told() -> None:
    """The status and the code say that it was too much; nothing says of what, or how much there may be."""
    async with Simulator(project_rate="2/h", hidden=True) as sim, aiohttp.ClientSession() as session:
        project, group = sim.targets[0]
        path = f"{sim.url}/v1/{project}/task-center/{group}/failure-jobs/batch"
        for _ in range(3):
            async with session.delete(path, headers={"X-Auth-Token": sim.token}) as answer:
                body = json.loads(await answer.read() or b"{}")
        assert [line.status for line in sim.log] == [204, 204, 429]
        assert body["error_code"] == "APIGW.0308"
        assert body["error_msg"] == "The throttling threshold has been reached"
