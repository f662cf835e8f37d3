"""The command `demo`: the main job on the embedded simulator, which limits and fails as a real server, over HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import anyio

from sdrs_async.accounts.account import Pending
from sdrs_async.accounts.connecting import Connection
from sdrs_async.cleanup.spool import Spool
from sdrs_async.command.options import Talk, with_flags
from sdrs_async.command.outputs import Outputs
from sdrs_async.command.streams import to_stdout
from sdrs_async.credentials.keys import StaticToken
from sdrs_async.limits import Limits, RetryPolicy
from sdrs_async.models import Target
from sdrs_async.report import Report

if TYPE_CHECKING:
    from sdrs_async.simulator import Fault, Simulator

NOTES = "Exit codes: 0 the client's numbers and the server's agree; 1 they do not; 130 interrupted."
_PROJECTS, _GROUPS, _SEED, _RATE = 8, 25, 1, 4
_ROUTE = "delete_group_failures"
# Somebody else has deleted these two groups; the service has two ways to say so.
_MISSING = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")
_INTRODUCTION = f"""\
This cleans {_PROJECTS} projects with {_GROUPS} protection groups each, and two groups that are no longer there, on an
SDRS server inside this process, over real HTTP. The server allows {_RATE} requests per second and project. Now and then
it answers 503 or 429, it resets a connection before or after it has done the work, and one request it never answers at
all. Everything should end clean, within the limit, in about ten seconds.
"""


class _Documents(Outputs):
    """Those that are written at the end."""

    lines = False


@with_flags
def demo(*, outputs: _Documents, talk: Talk) -> int:
    """See the main job at work, offline: a cleanup over several projects on the embedded simulator."""
    outputs.check()
    return anyio.run(_run, outputs, talk.quiet)


async def _run(outputs: Outputs, quiet: bool) -> int:
    """The exit code: that of `compare`; after a signal or a failed output that of the cleanup."""
    from sdrs_async.command.cleanup import Cleanup
    from sdrs_async.command.screen import Screen

    if not quiet:
        Screen(stderr=True).print(" ".join(_INTRODUCTION.split()) + "\n", markup=False, highlight=False)
    # Its ids follow from the seed, so one that is never started tells whom the faults can be for.
    async with _simulator(_faults(_simulator().targets)) as simulator:
        auth, limits = StaticToken(simulator.token), Limits(project_rate=f"{_RATE}/s")
        account = Pending("the simulator", "token", auth, simulator.url, limits=limits)
        connection = Connection([account], RetryPolicy(timeout=2.0))
        with Spool() as spooled:
            spooled.fill((account.name, target) for target in _targets(simulator.targets))
            ending = await Cleanup(connection, spooled, outputs, quiet=quiet, interval=2.0).run()
        if ending.report is None or ending.exit_code not in (0, 1, 5):
            return ending.exit_code
        return compare(ending.report, simulator, outputs, quiet=quiet)


def _simulator(faults: Sequence[Fault] = ()) -> Simulator:
    from sdrs_async.simulator import Simulator

    return Simulator(
        projects=_PROJECTS, groups=_GROUPS, failed_tasks=3, seed=_SEED,
        latency=0.02, project_rate=f"{_RATE}/s", faults=faults,
    )  # fmt: skip


def _faults(groups: list[tuple[str, str]]) -> list[Fault]:
    """What goes wrong: once for some groups, and by chance, which the seed decides, for all."""
    from sdrs_async.simulator import Fault

    busy, hang, before, after = ([groups[project * _GROUPS + 5][1]] for project in (0, 2, 4, 6))
    return [
        Fault("status", status=429, headers={"Retry-After": "2"}, only=busy, times=1),
        Fault("hang", only=hang, times=1),
        Fault("reset-before", only=before, times=1),
        Fault("reset-after", only=after, times=1),
        Fault("status", status=404, only=_MISSING[:1]),
        Fault("status", 0.04, status=503),
    ]


def _targets(groups: list[tuple[str, str]]) -> Iterator[Target]:
    yield from (Target(project_id, group_id) for project_id, group_id in groups)
    yield from (Target(groups[0][0], group_id) for group_id in _MISSING)


def compare(report: Report, simulator: Simulator, outputs: Outputs, *, quiet: bool = False) -> int:
    """Print the server's numbers, unless `quiet`, beside the report's; 0 if they agree and all is clean, else 1."""
    from sdrs_async.command.screen import Screen

    arrived, sent = len(simulator.log), report.to_dict()["requests"]["sent"]
    most = simulator.most_in_window(1.0, _ROUTE)
    met = Counter(entry.fault if entry.status is None else str(entry.status) for entry in simulator.log)
    agree = arrived == sent and most <= _RATE and simulator.remaining == 0 and report.exit_code == 0
    answers = ", ".join(f"{count} x {answer}" for answer, count in sorted(met.items()))
    verdict = "The numbers agree, and everything is clean." if agree else "These numbers should agree and do not."
    lines = (
        "\nWhat the server says",
        f"  Requests that arrived: {arrived:,}; the report counts {sent:,}",
        f"  Most of one project in any second: {most} of {_RATE} allowed",
        f"  Failed tasks left: {simulator.remaining:,}",
        f"  What came of the requests: {answers}",
        f"  {verdict}",
    )
    with to_stdout():
        Screen(stderr=outputs.on_stdout).print(verdict if quiet else "\n".join(lines), markup=False, highlight=False)
    return 0 if agree else 1
