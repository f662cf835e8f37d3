"""What comes before a deletion: accounts are signed in to and shown, and what there is in them goes to the spool."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import nlargest
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.abc

from sdrs_async.accounts.connecting import Connected, Connection
from sdrs_async.accounts.selection import Selection
from sdrs_async.cleanup.plan import Plan, keep
from sdrs_async.cleanup.spool import Spool
from sdrs_async.command.inputs import Selections, Wanted
from sdrs_async.command.outlook import Watch, spent, waiting
from sdrs_async.command.progress import Found, Snapshot, show_bar, show_lines
from sdrs_async.command.screen import Screen
from sdrs_async.command.signals import Interrupts
from sdrs_async.command.streams import ask, say
from sdrs_async.engine.engine import GRACE
from sdrs_async.errors import ConfigError, single_error
from sdrs_async.formats.plan_text import amount, extent, floor_words, groups_of
from sdrs_async.formats.wording import left_out_reasons, many, unlisted, without_owner
from sdrs_async.report.discovery import in_words
from sdrs_async.run import Running
from sdrs_async.session import Session

_TOLD = 10
_LARGEST = 10
_CHOOSE = "check --region (fleet file: region), or name the projects that are meant with --project, by their ids"
GENTLY = f"nothing new is started, requests on the wire get {GRACE:g} s for their answer"


@dataclass(frozen=True, slots=True)
class Display:
    """What is shown on the way. `quiet`: neither progress nor notes; `interval`: seconds between lines of progress.

    `bar`: whether one may be drawn where there is a terminal for it; `fleet_file`: the accounts come from one.
    """

    quiet: bool = False
    interval: float = 5.0
    bar: bool = True
    fleet_file: bool = False

    def note(self, line: str) -> None:
        """A line that only informs."""
        if not self.quiet:
            say(line)

    def progress(self, tasks: anyio.abc.TaskGroup, read: Callable[[], Snapshot | Found], watch: Watch) -> None:
        """Show it until the tasks are cancelled; `watch`: what of it takes long to look at."""
        if self.quiet:
            return
        console = Screen(stderr=True)
        tasks.start_soon(watch.follow)
        if self.bar and sys.stderr.isatty() and console.is_interactive:
            tasks.start_soon(show_bar, read, console)
        else:
            tasks.start_soon(show_lines, read, say, self.interval)


# ---- accounts


async def connected(
    connection: Connection, wanted: Wanted, interrupts: Interrupts, display: Display, project: str | None = None
) -> Connected | None:
    """The accounts, each shown with its host before anything is sent there; `None` after a signal.

    What is `wanted` of a list knows their endpoints then. `project`: the id of one that each has, where nothing is.
    Raises `AuthenticationError`, `ConfigError`.
    """
    selections: Mapping[str, Selection] = {} if isinstance(wanted, Spool) else wanted
    unknown = (one for one in connection.pending if one.endpoint is None)
    asked = (f"{one.name}: {one.kind} at {one.iam_endpoint}, to learn the service's endpoint" for one in unknown)
    for note in (*connection.notes, *asked):
        display.note(note)
    ready = await interrupts.unless(connection.resolve(_projects(connection, wanted, project)))
    if ready is None:
        return None
    for account in ready.accounts:
        by_iam = account.name in selections and selections[account.name].ids() is None
        if by_iam and account.iam_endpoint is None:
            raise ConfigError(f"{account.name}: its projects are listed by IAM: name it with --iam-endpoint")
        display.note(connection.line(account, with_iam=by_iam))
    for name, error in ready.lost.items():
        say(f"warning: {name} is left out: {without_owner(name, str(error))}")
    if isinstance(wanted, Spool):
        wanted.unite({account.name: account.endpoint for account in ready.accounts})
    return ready


def _projects(connection: Connection, wanted: Wanted, project: str | None) -> Mapping[str, Sequence[str]]:
    """By the accounts' names, ids of projects that each has, as far as they are known."""
    if isinstance(wanted, Spool):
        return wanted.first_projects()
    known = {name: selection.ids() or () for name, selection in wanted.items()}
    return known or {one.name: [project] for one in connection.pending if project}


# ---- targets


def warn_of_nothing(run: Running[Any], display: Display, *, found: bool) -> None:
    """Say of which accounts all that was selected was left out, why, and what to do; and whether nothing was `found`.

    Not where something could not be listed, since there may be something to do: the report tells of that.
    """
    report, left_out = run.report, left_out_reasons(run.report.to_dict()["discovery"])
    blind = _blind(run)
    for name, reasons in islice(blind.items(), _TOLD):
        projects = many(reasons.total(), "selected project")
        display.note(
            f"warning: {name}: {projects} left out, so that nothing was looked for ({in_words(reasons)}): {_CHOOSE}"
        )
    if len(blind) > _TOLD:
        display.note(f"warning: {many(len(blind) - _TOLD, 'more account')} of which all projects were left out")
    if not (found or report.exit_code or (blind and not report.discovery.projects)):
        others = f" ({many(left_out.total(), 'project')} left out: {in_words(left_out)})" if left_out else ""
        display.note(f"warning: no protection group was found{others}: nothing to do")


def _blind(run: Running[Any]) -> dict[str, Counter[str]]:
    """The accounts of which all that was selected was left out, which is told nowhere else, and why."""
    told = {one.account for one in run.report.discovery.failed}
    names = (name for name, reasons in run.left_out.items() if reasons and not run.projects[name])
    return {name: run.left_out[name] for name in names if name not in told}


@contextmanager
def stopping(run: Running[Any], interrupts: Interrupts, at_once: Callable[[], None] = lambda: None) -> Iterator[None]:
    """While the block lasts, the first signal ends the run gently, the second at once."""

    def gently() -> None:
        say(f"{interrupts.word}: {GENTLY}; {interrupts.again}")
        run.stop(signal=interrupts.first)

    def now() -> None:
        say("ending at once")
        run.stop(0)
        at_once()

    with interrupts.during(gently, now):
        yield


async def find(
    session: Session, selections: Selections, spooled: Spool, interrupts: Interrupts, display: Display
) -> Plan:
    """Look for all targets of the selections and keep them. A signal ends it early; then the report says so.

    Raises what stops it, with the report.
    """
    with single_error():
        chosen = {account: selections[account.name] for account in session.accounts}
        async with session.find(chosen) as finding, anyio.create_task_group() as tasks:
            found = finding.report.discovery
            watch = Watch(finding.survey)

            def read() -> Found:
                now = anyio.current_time()
                used_up = spent(watch.seen, now, fleet_file=display.fleet_file)
                return Found(found.projects, found.groups, waiting(watch.seen, now), used_up)

            display.progress(tasks, read, watch)
            with stopping(finding, interrupts):
                await keep(finding, spooled, session.accounts)
            tasks.cancel_scope.cancel()
    return Plan(session.accounts, spooled, session.concurrency, finding)


# ---- the question


async def confirmed(lines: Sequence[str]) -> bool:
    """Show all lines; the last one is the question. Whether the answer was yes."""
    *before, question = lines
    for line in before:
        say(line)
    return await ask(question)


def about(plan: Plan) -> list[str]:
    """The question whether to carry out a plan.

    Before it: what each account has, of a list where there are several; what is missing; the least time.
    """
    accounts, is_list = plan.accounts, plan.finding is None
    where = f"at {urlsplit(accounts[0].endpoint).netloc}" if is_list else f"with {accounts[0].name}"
    where = where if len(accounts) == 1 else f"of {len(accounts):,} accounts"
    lines = [] if is_list and len(accounts) == 1 else [*_of_accounts(plan)]
    lines += _missing(plan)
    if words := floor_words(plan.floor()):
        lines.append(f"This takes {words}.")
    return [*lines, f"Delete the failed tasks of {extent(plan)} {where}? This cannot be undone."]


def _missing(plan: Plan) -> Iterator[str]:
    """What could not be listed, and what was left out."""
    document = plan.report.to_dict()
    gaps, more = unlisted(document)
    for gap in gaps:
        yield from (f"warning: not (wholly) listed: {name} ({gap.happened})" for name in gap.names)
    if more:
        yield f"warning: not (wholly) listed: {more}"
    if left_out := left_out_reasons(document["discovery"]):
        yield f"left out: {many(left_out.total(), 'project')} ({in_words(left_out)})"


def _of_accounts(plan: Plan) -> Iterator[str]:
    """How much each account has, and its largest projects."""
    for account in plan.accounts:
        own = list(plan.by_project(account.name))
        sums = sum(one.groups for one in own), len(own), sum(one.project_level for one in own)
        yield f"{account.name} at {urlsplit(account.endpoint).netloc}: {amount(*sums)}"
        for one in nlargest(_LARGEST, own, key=lambda one: one.groups):
            yield f"{groups_of(one):>8}  {one.project_id}  {plan.names.get((one.account, one.project_id), '')}".rstrip()
        if len(own) > _LARGEST:
            yield f"{'':>8}  and {many(len(own) - _LARGEST, 'more project')}"
