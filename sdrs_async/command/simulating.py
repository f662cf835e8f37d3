"""What a plan would come to against gateways with given limits: nothing is sent, the time is a model's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sdrs_async.accounts.account import Account
from sdrs_async.cleanup.plan import LATENCY, Plan
from sdrs_async.command.streams import unlogged
from sdrs_async.errors import ConfigError
from sdrs_async.formats import limits
from sdrs_async.formats.text import facts, indented, learned_parts, table
from sdrs_async.formats.wording import duration, many, printable
from sdrs_async.limits import Rate, RetryPolicy
from sdrs_async.report.learned import learned_list
from sdrs_async.transport.threads import in_daemon_thread, room

if TYPE_CHECKING:
    from sdrs_async.laboratory.forecast import Forecast
    from sdrs_async.laboratory.policies import Policy


@dataclass(frozen=True, slots=True)
class Simulation:
    """What was simulated: `gateways`, as `--gateway` takes them, and what came of it.

    `targets`: how many there are, by the account's name; `listing`: the requests of lists were simulated too.
    """

    gateways: tuple[str, ...]
    forecast: Forecast
    targets: Mapping[str, int]
    listing: bool = False


def check_gateways(gateways: Sequence[str]) -> None:
    """Raise `ConfigError` for a gateway that is none."""
    for text in gateways:
        _policy(text)


async def simulate(plan: Plan, retry: RetryPolicy, gateways: Sequence[str]) -> Simulation:
    """Carry a plan out in virtual time; takes about ten seconds of work at most, in a thread of its own.

    `gateways`: without any it is one that keeps exactly the limits that are configured.
    """
    from sdrs_async.laboratory.forecast import forecast
    from sdrs_async.laboratory.trial import Workload

    chosen = tuple(gateways) or tuple(_configured(plan.accounts))
    policies, work, concurrency = (
        [_policy(text) for text in chosen],
        plan.work(lists=plan.listed),
        plan.scopes.concurrency,
    )
    workloads = [
        Workload(one.limits, work.get(one.name, {}), one.name, one.endpoint, one.weight) for one in plan.accounts
    ]

    def run() -> Forecast:
        with unlogged():
            return forecast(workloads, LATENCY, policies, concurrency=concurrency, retry=retry)

    found, targets = await in_daemon_thread(room(), run), {name: sum(its.values()) for name, its in plan.work().items()}
    return Simulation(chosen, found, targets, plan.listed)


def _policy(text: str) -> Policy:
    from sdrs_async.laboratory.policies import parse_gateway

    try:
        return parse_gateway(text)
    except ValueError as error:
        raise ConfigError(f"--gateway: {error}") from None


def _configured(accounts: Sequence[Account]) -> Iterator[str]:
    """The limits that all accounts have in common: others cannot be met by whoever keeps its own."""
    for scope in ("project", "user", "endpoint"):
        rates = {Rate.parse(getattr(account.limits, f"{scope}_rate")) for account in accounts}
        rate = rates.pop()
        if rate is None or rates:
            continue
        yield f"{scope}={Rate(rate.count, rate.per)}"
        if rate.burst is not None:
            yield f"{scope}={Rate(rate.burst)}"


# ---- as a text


def simulation_parts(simulation: Simulation, *, fleet_file: bool) -> Iterator[RenderableType]:
    """For the terminal."""
    found = simulation.forecast
    yield Text()
    yield Text("Simulated against a gateway with the limits", style="bold")
    for text in simulation.gateways or ("none",):
        yield indented(Text(printable(text), overflow="fold"))
    yield indented(facts(_facts(found, listing=simulation.listing)), above=1)
    if len(found.accounts) > 1:
        yield indented(_accounts(simulation), above=1)
    if (learned := limits.shown(found.learned, fleet_file=fleet_file)) is not None:
        yield Text()
        yield indented(Text("What the run would learn of these limits"))
        for part in learned_parts(learned):
            yield indented(part, by=4)


def _facts(found: Forecast, *, listing: bool) -> dict[str, Text]:
    guess = "; calculated from its beginning, since it is too large to be simulated to its end"
    texts = {
        "Takes": f"{duration(found.seconds)}{guess * found.extrapolated}",
        "Requests": f"{found.requests:,}{', with the lists' * listing}, of which {found.refused:,} are throttled (429)",
    }
    if found.failed:
        texts["Fails"] = f"{many(found.failed, 'group')}, whose time (--retry-time) runs out"
    return {name: Text(text) for name, text in texts.items()}


def _accounts(simulation: Simulation) -> Table:
    shown = table(("takes", "groups", "requests", "throttled", "account"), {"account"})
    for one in simulation.forecast.accounts:
        numbers = (f"{number:,}" for number in (simulation.targets.get(one.name, 0), one.requests, one.refused))
        shown.add_row(duration(one.seconds), *numbers, Text(printable(one.name)))
    return shown


# ---- as JSON


def simulation_json(simulation: Simulation) -> dict[str, Any]:
    """For the plan's document."""
    found = simulation.forecast
    return {
        "gateways": list(simulation.gateways),
        "duration_s": round(found.seconds, 6),
        "requests": {"sent": found.requests, "throttled": found.refused},
        "lists": simulation.listing,
        "failed": found.failed,
        "extrapolated": found.extrapolated,
        "learned": learned_list(found.learned),
        "accounts": [
            {
                "name": one.name,
                "duration_s": round(one.seconds, 6),
                "targets": simulation.targets.get(one.name, 0),
                "requests": {"sent": one.requests, "throttled": one.refused},
            }
            for one in found.accounts
        ],
    }
