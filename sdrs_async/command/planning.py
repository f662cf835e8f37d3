"""What a cleanup would do, read only: found and shown, or simulated; nothing is ever deleted here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from sdrs_async.accounts.account import Account, Pending
from sdrs_async.accounts.connecting import Connected, Connection, note_lost
from sdrs_async.cleanup.plan import LATENCY, Plan
from sdrs_async.cleanup.spool import Spool
from sdrs_async.command.documents import Document
from sdrs_async.command.finding import Display, connected, find, warn_of_nothing
from sdrs_async.command.inputs import Wanted
from sdrs_async.command.screen import Screen
from sdrs_async.command.signals import Interrupts, interrupts
from sdrs_async.command.streams import STDOUT, to_stdout, unlogged
from sdrs_async.errors import ConfigError
from sdrs_async.formats import limits
from sdrs_async.formats.plan_text import extent, floor_words, groups_of, plan_parts
from sdrs_async.formats.text import facts, indented, learned_parts, table
from sdrs_async.formats.wording import duration, many, printable
from sdrs_async.limits import Rate, RetryPolicy
from sdrs_async.pace.floor import Floor, Scopes
from sdrs_async.report.learned import learned_list
from sdrs_async.session import connect
from sdrs_async.transport.threads import in_daemon_thread, room

if TYPE_CHECKING:
    from sdrs_async.laboratory.forecast import Forecast
    from sdrs_async.laboratory.policies import Policy


@dataclass(frozen=True)
class Planning:
    """Find out what is wanted, targets or what to look for by the accounts' names, and show it.

    `gateways`: simulate it besides, against these, or without any against the configured limits.
    """

    connection: Connection
    wanted: Wanted
    title: str
    json_file: str | None = None
    quiet: bool = False
    gateways: Sequence[str] | None = None

    @property
    def _display(self) -> Display:
        return Display(self.quiet, fleet_file=self.connection.fleet_file)

    async def run(self) -> int:
        """Do it, once; the exit code. A signal ends it early, and what is known by then is shown.

        Raises `AuthenticationError` when no account could sign in, and `ConfigError`.
        """
        async with interrupts() as told, AsyncExitStack() as stack:
            file = None if self.json_file is None else stack.enter_context(Document("--json", self.json_file))
            ready = await connected(self.connection, self.wanted, told, self._display)
            if ready is None:
                return 128 + (told.first or 0)
            plan = await self._plan(ready, told, stack)
            note_lost(plan.report, ready.lost)
            simulation = await self._simulate(plan, told)
            if file is not None:
                file.save(partial(self._write, plan, simulation), () if self.json_file == STDOUT else told.numbers)
                if self.json_file != STDOUT:
                    self._display.note(f"wrote {self.json_file}")
            self._show(plan, simulation)
            return plan.report.exit_code if told.first is None else 128 + told.first

    async def _plan(self, ready: Connected, told: Interrupts, stack: AsyncExitStack) -> Plan:
        session = connect(ready.accounts, concurrency=self.connection.concurrency, retry=self.connection.retry)
        if isinstance(self.wanted, Spool):
            return Plan(ready.accounts, self.wanted, self.connection.concurrency)
        spooled = stack.enter_context(Spool(account.name for account in ready.accounts))
        async with session:
            return await find(session, self.wanted, spooled, told, self._display)

    async def _simulate(self, plan: Plan, told: Interrupts) -> Simulation | None:
        if self.gateways is None or told.first is not None or not plan.projects:
            return None
        self._display.note("simulating: nothing is sent")
        return await told.unless(simulate(plan, self.connection.retry, self.gateways))

    def _show(self, plan: Plan, simulation: Simulation | None) -> None:
        fleet_file = self.connection.fleet_file
        with to_stdout():
            screen = Screen(stderr=self.json_file == STDOUT)
            for part in plan_parts(plan, self.title, LATENCY, self._credentials(plan), fleet_file=fleet_file):
                screen.print(part)
            for part in simulation_parts(simulation, fleet_file=fleet_file) if simulation is not None else ():
                screen.print(part)
        if plan.finding is not None:
            warn_of_nothing(plan.finding, self._display, found=plan.projects > 0)

    def _write(self, plan: Plan, simulation: Simulation | None, file: TextIO) -> None:
        simulated = {} if simulation is None else {"simulation": simulation_json(simulation)}
        json.dump(plan.to_dict(self._credentials(plan)) | simulated, file, indent=2)
        file.write("\n")

    def _credentials(self, plan: Plan) -> dict[str, str]:
        return {account.name: self.connection.kind(account) for account in plan.accounts}


# ---- what is known before anything is sent


def show_list(spooled: Spool, connection: Connection) -> None:
    """Print what a cleanup of a list would do: how much there is, its least time, the projects of each account."""
    accounts, endpoints = connection.pending, connection.endpoints()
    spooled.unite(endpoints)
    several = len(accounts) > 1
    where = f"with {len(accounts):,} accounts" if several else f"at {_place(accounts[0], endpoints)}"
    lines = [f"Dry run: would delete the failed tasks of {extent(spooled)} {where}; nothing was sent."]
    if words := floor_words(_floor(spooled, connection, endpoints)):
        lines.append(f"Takes {words}.")
    if spooled.duplicates:
        lines.append(f"Left out: {spooled.duplicates:,} duplicates.")
    with to_stdout() as file:
        file.writelines(f"{line}\n" for line in lines)
        for account in accounts:
            file.write(f"\n{printable(account.name)} at {_place(account, endpoints)}" if several else "")
            _show_projects(spooled, account.name, file)


def _show_projects(spooled: Spool, account: str, file: TextIO) -> None:
    for number, one in enumerate(spooled.extents(account)):
        heading = "" if number else f"\n{'groups':>8}  project\n"
        level = "  project level" if one.project_level else ""
        file.write(f"{heading}{groups_of(one):>8}  {printable(one.project_id)}{level}\n")


def _place(account: Pending, endpoints: Mapping[str, str]) -> str:
    """The host that it is sent to, as far as it is known before anything is asked."""
    endpoint = endpoints.get(account.name)
    return printable(urlsplit(endpoint).netloc if endpoint else f"the endpoint that {account.iam_endpoint} names")


def _floor(spooled: Spool, connection: Connection, endpoints: Mapping[str, str]) -> Floor:
    scopes = Scopes({one.name: one.limits for one in connection.pending}, endpoints, connection.concurrency)
    loads = {one.name: [x.groups + x.project_level for x in spooled.extents(one.name)] for one in connection.pending}
    return scopes.floor(loads, LATENCY)


# ---- simulation: nothing is sent, the time is a model's


@dataclass(frozen=True, slots=True)
class Simulation:
    """What was simulated: a plan, with the requests of its lists, against `gateways`, as `--gateway` takes them."""

    plan: Plan
    gateways: tuple[str, ...]
    forecast: Forecast

    def targets(self) -> dict[str, int]:
        """How many there are, by the accounts' names."""
        return {name: sum(projects.values()) for name, projects in self.plan.work().items()}


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
    policies, work = [_policy(text) for text in chosen], plan.work(lists=plan.listed)
    workloads = [
        Workload(one.limits, work.get(one.name, {}), one.name, one.endpoint, one.weight) for one in plan.accounts
    ]

    def run() -> Forecast:
        with unlogged():
            return forecast(workloads, LATENCY, policies, concurrency=plan.scopes.concurrency, retry=retry)

    return Simulation(plan, chosen, await in_daemon_thread(room(), run))


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


def simulation_parts(simulation: Simulation, *, fleet_file: bool) -> Iterator[RenderableType]:
    """For the terminal."""
    found = simulation.forecast
    yield Text()
    yield Text("Simulated against a gateway with the limits", style="bold")
    for text in simulation.gateways or ("none",):
        yield indented(Text(printable(text), overflow="fold"))
    yield indented(facts(_facts(found, listing=simulation.plan.listed)), above=1)
    if len(found.accounts) > 1:
        yield indented(_per_account(simulation), above=1)
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


def _per_account(simulation: Simulation) -> Table:
    shown = table(("takes", "groups", "requests", "throttled", "account"), {"account"})
    targets = simulation.targets()
    for one in simulation.forecast.accounts:
        numbers = (f"{number:,}" for number in (targets.get(one.name, 0), one.requests, one.refused))
        shown.add_row(duration(one.seconds), *numbers, Text(printable(one.name)))
    return shown


def simulation_json(simulation: Simulation) -> dict[str, Any]:
    """For the plan's document."""
    found, targets = simulation.forecast, simulation.targets()
    return {
        "gateways": list(simulation.gateways),
        "duration_s": round(found.seconds, 6),
        "requests": {"sent": found.requests, "throttled": found.refused},
        "lists": simulation.plan.listed,
        "failed": found.failed,
        "extrapolated": found.extrapolated,
        "learned": learned_list(found.learned),
        "accounts": [
            {
                "name": one.name,
                "duration_s": round(one.seconds, 6),
                "targets": targets.get(one.name, 0),
                "requests": {"sent": one.requests, "throttled": one.refused},
            }
            for one in found.accounts
        ],
    }
