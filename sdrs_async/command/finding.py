"""What comes before a deletion: accounts are signed in to and shown, and what there is in them goes to the spool."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import anyio
import anyio.abc

from sdrs_async.accounts.account import Account
from sdrs_async.accounts.connecting import Connected, Connection
from sdrs_async.accounts.selection import Selection
from sdrs_async.cleanup.plan import Plan, keep
from sdrs_async.cleanup.spool import Spool
from sdrs_async.command.outlook import Watch
from sdrs_async.command.progress import Found, Snapshot, show_bar, show_lines
from sdrs_async.command.screen import Screen
from sdrs_async.command.signals import Interrupts
from sdrs_async.command.streams import say
from sdrs_async.engine.engine import GRACE
from sdrs_async.errors import ConfigError, single_error
from sdrs_async.formats.wording import left_out_reasons, many, without_owner
from sdrs_async.report.discovery import in_words
from sdrs_async.run import Running
from sdrs_async.session import Session

_TOLD = 10
_CHOOSE = "check --region (fleet file: region), or name the projects that are meant with --project, by their ids"
GENTLY = f"nothing new is started, requests on the wire get {GRACE:g} s for their answer"


@dataclass(frozen=True, slots=True)
class Display:
    """What is shown on the way. `quiet`: neither progress nor notes; `interval`: seconds between lines of progress.

    `bar`: whether one may be drawn where there is a terminal for it.
    """

    quiet: bool = False
    interval: float = 5.0
    bar: bool = True

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
    connection: Connection,
    selections: Mapping[str, Selection],
    interrupts: Interrupts,
    display: Display,
    projects: Mapping[str, Sequence[str]],
) -> Connected | None:
    """The accounts, each shown with its host before anything is sent there; `None` after a signal.

    Both by the account's name, `selections`: what is to be looked for; `projects`: where nothing is, ids of some of its
    projects. Raises `AuthenticationError`, `ConfigError`.
    """
    for note in connection.notes:
        display.note(note)
    for one in connection.pending:
        if one.endpoint is None:
            display.note(f"{one.name}: {one.kind} at {one.iam_endpoint}, to learn the service's endpoint")
    known = {name: selection.ids() or () for name, selection in selections.items()}
    ready = await interrupts.unless(connection.resolve({**projects, **known}))
    if ready is None:
        return None
    for account in ready.accounts:
        by_iam = account.name in selections and selections[account.name].ids() is None
        if by_iam and account.iam_endpoint is None:
            raise ConfigError(f"{account.name}: its projects are listed by IAM: name it with --iam-endpoint")
        display.note(connection.line(account, with_iam=by_iam))
    for name, error in ready.lost.items():
        say(f"warning: {name} is left out: {without_owner(name, str(error))}")
    return ready


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
    told = {unlisted.account for unlisted in run.report.discovery.failed}
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
    session: Session,
    selections: Mapping[Account, Selection],
    spooled: Spool,
    interrupts: Interrupts,
    display: Display,
    *,
    fleet_file: bool = False,
) -> Plan:
    """Look for all targets of the selections and keep them. A signal ends it early; then the report says so.

    `fleet_file`: the accounts come from one. Raises what stops it, with the report.
    """
    with single_error():
        async with session.find(selections) as finding, anyio.create_task_group() as tasks:
            found = finding.report.discovery
            watch = Watch(finding, fleet_file=fleet_file)

            def read() -> Found:
                now = anyio.current_time()
                return Found(found.projects, found.groups, watch.waiting(now), watch.spent(now))

            display.progress(tasks, read, watch)
            with stopping(finding, interrupts):
                await keep(finding, spooled, session.accounts)
            tasks.cancel_scope.cancel()
    return Plan(session.accounts, spooled, session.concurrency, finding)
