"""One rate's arithmetic, without a loop: the window and the spread inside it."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdrs_async.limits import Rate
from sdrs_async.pace.windows import Window
from tests.support.engine_runs import most_in_window


def test_a_permit_is_free_again_one_window_after_its_answer() -> None:
    """A request sent at 0 and answered at 3 keeps its permit of 2/s until 4; the other one is free at once."""
    window = Window(Rate(2, 1))
    window.enter()
    assert window.due == 0
    window.enter()
    assert window.due == math.inf
    window.leave(3)
    assert window.due == 4


def test_an_answer_out_of_turn_frees_only_its_own_permit() -> None:
    """While one request hangs, the other permits go round without it."""
    window = Window(Rate(2, 1))
    window.enter()
    for second in range(0, 10, 2):
        window.enter()
        window.leave(second + 0.5)
        assert window.due == second + 1.5
    window.leave(30)
    assert window.due == 0, "the other one has been free since 9.5"


def test_a_limit_that_is_cut_is_due_when_enough_has_grown_old() -> None:
    """Ten answers at 1, 2, ... 10 under 10 per 20 s: cut to 4, the seventh of them has to leave the window."""
    window = Window(Rate(10, 20))
    for second in range(1, 11):
        window.enter()
        window.leave(second)
    assert window.due == 21
    window.resize(Rate(4, 20))
    assert window.due == 27
    window.enter()
    window.enter()
    assert window.due == 29
    window.resize(Rate(40, 20))
    assert window.due == 0


def test_a_limit_below_what_is_out_waits_for_answers() -> None:
    """Three on their way under a limit of one: only answers can tell when the next may go."""
    window = Window(Rate(5, 1))
    for _ in range(3):
        window.enter()
    window.resize(Rate(1, 1))
    assert window.due == math.inf
    window.leave(1.0)
    window.leave(1.5)
    assert window.due == math.inf
    window.leave(2.0)
    assert window.due == 3.0


def test_memory_is_bounded_by_what_a_window_remembers() -> None:
    """After 10,000 requests at 100/s it knows of those of the last second only."""
    window = Window(Rate(100, 1))
    for number in range(10_000):
        window.enter()
        window.leave(number / 100)
    assert len(window.answers(-math.inf)) <= 101
    assert len(window._answers) <= 250


@given(
    base=st.sampled_from([0.0, 0.02]),
    there=st.floats(0, 1),
    jitter=st.sampled_from([0.0, 0.001, 0.02, 0.1]),
    split=st.floats(0, 1),
    count=st.integers(1, 30),
    per=st.sampled_from([0.3, 1.0, 5.0]),
    seed=st.integers(0, 2**32),
)
def test_no_network_breaks_the_promise(  # noqa: PLR0917
    base: float, there: float, jitter: float, split: float, count: int, per: float, seed: int
) -> None:
    """However a round trip is divided into the ways there and back, the server sees no window above the limit."""
    rng, window = Random(seed), Window(Rate(count, per))
    arrivals: list[float] = []
    answers: list[float] = []
    now = 0.0
    for _ in range(12 * count + 150):
        while (due := window.due) > now:
            if answers and answers[0] <= due:
                now = heappop(answers)
                window.leave(now)
            else:
                now = due
        window.enter()
        arrived = now + base * there + jitter * rng.random() * split
        arrivals.append(arrived)
        heappush(answers, arrived + base * (1 - there) + jitter * rng.random() * (1 - split))
    assert most_in_window(sorted(arrivals), per - 1e-9) <= count


def test_a_lost_request_does_not_hold_up_the_permit_of_one_that_was_answered() -> None:
    """One is given up at 1, and counts 5 s longer; one is answered at 1.005: that one's permit is free first."""
    window = Window(Rate(2, 1))
    window.enter()
    window.enter()
    window.leave(1.0, late=5.0)
    window.leave(1.005)
    assert window.due == pytest.approx(2.005)
    window.enter()
    window.leave(2.5)
    assert window.due == pytest.approx(3.5)
    window.enter()
    window.leave(3.6)
    assert window.due == pytest.approx(4.6)
