from __future__ import annotations

import math

import pytest

from benchmarks.laboratory import COLUMNS, NAMES, OURS, WIDTHS, line, row, run
from benchmarks.rivals import RIVALS
from benchmarks.scenarios import Scenario, fairness, queues, scenarios
from sdrs_async.laboratory.policies import Policy
from sdrs_async.laboratory.results import Trial
from sdrs_async.laboratory.trial import ENDLESS, Workload
from sdrs_async.limits import Limits

SMALL = Scenario("small", Workload(Limits("20/s"), (2, ENDLESS)), (Policy(10, told=False),), 8.0)


@pytest.mark.parametrize("contender", [OURS, *(name for name in RIVALS if name != "aiometer")])
def test_every_contender_is_measured_in_the_same_way(contender: str) -> None:
    """Each sends on until the end, is refused by the limit that it does not know, and never gets more than that."""
    figures = run(SMALL, contender, 1)
    share, refused, window = (figures[name] for name in ("share", "429s", "window"))
    assert share is not None
    assert refused is not None
    assert window is not None
    assert 0.2 < share <= 1.02
    assert 0 < refused < 0.9
    assert window > 1


def test_the_table_fits_into_120_columns() -> None:
    """Headings, and the row with the longest name and figures."""
    assert max(len(one.name) for one in [*scenarios(), *queues()]) < NAMES[0]
    assert max(len(name) for name in (OURS, *RIVALS)) < NAMES[1]
    longest: dict[str, float | None] = {**dict.fromkeys(COLUMNS, math.inf), "429s": 0.99999, "configured": 2.0}
    assert len(row(scenarios()[0], OURS, [longest])) <= 120
    assert len(line(("scenario", ""), COLUMNS)) == sum(NAMES) + sum(WIDTHS) <= 120


def test_every_scenario_has_a_name_of_its_own() -> None:
    """`--only` can pick each of them."""
    names = [one.name for one in scenarios()]
    assert len(names) == len(set(names)) > 60


def test_fairness_is_the_last_small_project_by_its_fair_share() -> None:
    """Eleven projects of one user at 50/s: 50 groups each are due after 11 seconds."""
    scenario = next(fairness())
    done = {(scenario.workload.name, f"small-{number}"): 5.5 + 0.55 * number for number in range(10)}
    assert scenario.fair(Trial(60.0, 0, 0, finished=done)) == pytest.approx(10.45 / 11)
    assert scenario.fair(Trial(60.0, 0, 0)) == math.inf
