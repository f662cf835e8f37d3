"""How well limits are used, learned and followed: the engine beside other ways to do it, in virtual time.

    python -m benchmarks.laboratory [--seeds 5] [--only NAME] [--jobs 1] [--ours]

A row per scenario, medians over seeds. *share*: part of the limit used after the first window; *proof*: that share by
what a window anchored at the answers permits, T / (T + mean round trip); *429s*: part of all requests; then
refusals of the project that had most: in the first *60 s*, after a *change* of the limit, and *later*, with the
shortest *pause* between two of these; *window*: the fullest that the gateway saw, by the limit then in force, in the
worst seed, with a ! if one was above what the user configured; *cut* and *rise*: seconds until a change of the limit
was met; *quiet*: from the first 429 to the next request that was let in; *fair*: the last small project's time by its
fair share's. A dash: it does not apply. A round trip takes 20 ms, with jitter up to 100 ms more. A second table shows a
service where requests queue.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

from benchmarks.rivals import RIVALS, rival
from benchmarks.scenarios import SLOTS, Scenario, queues, scenarios
from sdrs_async.laboratory.trial import run_trial

OURS = "sdrs-async"
COLUMNS = ("share", "proof", "429s", "60 s", "change", "later", "pause", "window", "cut", "rise", "quiet", "fair")
WIDTHS = (6, 6, 7, 5, 7, 6, 6, 7, 6, 6, 6, 6)
NAMES = (35, 11)


def run(scenario: Scenario, contender: str, seed: int) -> dict[str, float | None]:
    """One run as a row of figures."""
    if contender == OURS:
        trial = run_trial(
            [scenario.workload], scenario.policies, network=scenario.network, seed=seed, seconds=scenario.seconds,
            concurrency=scenario.concurrency, read_ahead=2000,
        )  # fmt: skip
    else:
        trial = rival(scenario, contender, seed)
    changing = bool(scenario.policies[0].changes)
    later = trial.refused_later
    return {
        "share": trial.share,
        "proof": trial.share / permitted(scenario) if scenario.proof and trial.share is not None else None,
        "429s": trial.refused_share,
        "60 s": trial.refused_first,
        "change": max(trial.refused_changes) if trial.refused_changes else None,
        "later": None if scenario.proof else later,
        "pause": trial.pause if trial.pause < math.inf else None,
        "window": trial.window,
        "configured": trial.configured,
        "cut": max(trial.followed) if changing and trial.followed else None,
        "rise": max(trial.found) if changing and trial.found else None,
        "quiet": trial.silence if trial.refused else None,
        "fair": scenario.fair(trial),
    }


def permitted(scenario: Scenario) -> float:
    """The share that a window permits whose permits are free again one window after their answers."""
    network, per = scenario.network, scenario.policies[0].per
    return per / (per + network.round_trip)


def shown(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if value == math.inf:
        return "never"
    if name == "429s":
        return f"{value:.2%}" if value < 0.1 else f"{value:.1%}"
    if name in ("60 s", "change", "later"):
        return f"{value:g}"
    return f"{value:.3f}" if name in ("share", "proof", "window", "fair") else f"{value:.1f}"


def line(names: Sequence[str], cells: Sequence[str]) -> str:
    left = "".join(name.ljust(width) for name, width in zip(names, NAMES, strict=True))
    return left + "".join(cell.rjust(width) for cell, width in zip(cells, WIDTHS, strict=True))


def row(scenario: Scenario, contender: str, runs: Sequence[dict[str, float | None]]) -> str:
    cells = []
    for name in COLUMNS:
        values = [value for figures in runs if (value := figures[name]) is not None]
        middle = (max if name == "window" else statistics.median)(values) if values else None
        # A mark where more was sent than the user configured, whatever the gateway allowed.
        above = name == "window" and any((figures["configured"] or 0.0) > 1 for figures in runs)
        cells.append(shown(name, middle) + "!" * above)
    return line((scenario.name, contender), cells)


def contenders(scenario: Scenario) -> list[str]:
    rivals = [name for name in RIVALS if name != "aiometer" or importlib.util.find_spec("aiometer") is not None]
    return [OURS, *(rivals if scenario.rivals else ())]


def crowding(seeds: int) -> None:
    """What the engine does where requests queue at the service: how busy that is, and how long an answer takes."""
    print(f"\n{'no limit, a service that works on':<35}{'busy':>8}{'latency':>10}{'unloaded':>10}{'all 64 sent':>13}")
    for scenario in queues():
        network = scenario.network
        trials = [
            run_trial([scenario.workload], (), network=network, seed=seed, seconds=scenario.seconds, read_ahead=2000)
            for seed in range(1, seeds + 1)
        ]
        possible = min((network.at_once or SLOTS) / network.work, SLOTS / network.round_trip)
        busy = statistics.median(trial.requests / trial.seconds / possible for trial in trials)
        latency = statistics.median(trial.latency for trial in trials)
        cells = (f"{busy:.3f}", *(f"{1000 * one:.0f} ms" for one in (latency, network.round_trip, SLOTS / possible)))
        print(
            scenario.name.ljust(NAMES[0])
            + "".join(cell.rjust(w) for cell, w in zip(cells, (8, 10, 10, 13), strict=True))
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="", help="run the scenarios that have this in their names")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--ours", action="store_true", help="leave the others out")
    options = parser.parse_args()
    chosen = [scenario for scenario in scenarios() if options.only in scenario.name]
    pairs = [(scenario, name) for scenario in chosen for name in (contenders(scenario)[: 1 if options.ours else None])]
    calls = [(scenario, name, seed) for scenario, name in pairs for seed in range(1, options.seeds + 1)]
    began = time.perf_counter()
    print(line(("scenario", ""), COLUMNS))
    with ProcessPoolExecutor(options.jobs) as pool:
        results = pool.map(run, *zip(*calls, strict=True)) if calls else iter(())
        for scenario, name in pairs:
            print(row(scenario, name, list(islice(results, options.seeds))), flush=True)
    if not options.only:
        crowding(options.seeds)
    print(f"\n{options.seeds} seeds, {len(calls)} runs in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
