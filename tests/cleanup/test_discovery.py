"""Targets that are found within a run: what is selected, what cannot be listed, and what waits for whom."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from typing import Any

import pytest

from sdrs_async import (
    Account,
    AuthenticationError,
    ConfigError,
    Limits,
    Report,
    RetryPolicy,
    Selection,
    StaticToken,
    Verdict,
    clean,
    connect,
)
from sdrs_async.cleanup import discovery
from sdrs_async.cloud.listing import ListingError
from sdrs_async.models import ProjectLevel
from sdrs_async.session import Session
from sdrs_async.simulator import Fault, Simulator
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("no_leaked_tasks")

FREE = Limits(None, 8, None, None, 64)
QUICK = RetryPolicy(attempts=2, base=0.01, cap=0.02)


# What the simulator's IAM lists besides (`decoys`).
DECOYS = [
    {"account": "prod", "reason": reason, "projects": projects}
    for reason, projects in (
        ("a domain, no project", 1), ("disabled", 1), ("object storage only", 1), ("of region eu-nl", 2)
    )
]  # fmt: skip


def account(sim: Simulator, name: str = "prod", **how: Any) -> Account:
    """The simulator's account, with a token that is good everywhere."""
    how = {"iam_endpoint": sim.url, "limits": FREE, **how}
    return Account(name, sim.url, StaticToken(sim.token), **how)


def failed(report: Report) -> list[dict[str, Any]]:
    """What could not be listed."""
    rows: list[dict[str, Any]] = report.to_dict()["discovery"]["failed"]
    return rows


async def cleaned(sim: Simulator, selection: Selection | None = None, **how: Any) -> Report:
    """The report of a run with discovery on a simulator."""
    async with connect(account(sim, **how), retry=QUICK) as session:
        return await session.clean(selection or Selection())


async def test_a_project_that_is_asked_for_and_left_out_is_noted() -> None:
    """Whoever names a project of another region is told so; a pattern or all projects leave it out without a word."""
    async with Simulator(projects=1, groups=1, decoys=True) as sim:
        assert failed(await cleaned(sim, Selection(["eu-*"]), region="eu-de")) == []
        report = await cleaned(sim, Selection(["eu-de", "eu-nl"]), region="eu-de")
        async with connect(account(sim, region="eu-de")) as session, session.find(Selection()) as finding:
            assert [target.project_id async for target in finding] == [sim.targets[0][0]]
    assert [(row["verdict"], row["message"]) for row in failed(report)] == [("rejected", "left out: of region eu-nl")]
    assert report.targets["done"] == 1
    assert report.exit_code == 1
    assert finding.left_out == {
        "prod": {"disabled": 1, "a domain, no project": 1, "object storage only": 1, "of region eu-nl": 2}
    }


async def test_regions_of_projects_that_are_left_out_are_few() -> None:
    """Where names are no regions, each would be a reason of its own: ten are kept, and no name of any length."""
    names = [*(f"r{number:02}_{more}" for number in range(30) for more in range(1 + (number < 3))), "x" * 5000]
    entries = [{"id": f"{number:032x}", "name": name} for number, name in enumerate(names)]
    fault = Fault("status", route="list_own_projects", status=200, body={"projects": entries})
    async with Simulator(projects=1, groups=1, faults=[fault]) as sim:
        report = await cleaned(sim, region="eu-de")
    rows = report.to_dict()["discovery"]["left_out"]
    assert sum(row["projects"] for row in rows) == 34
    assert len(rows) == 11
    assert {f"of region r{number:02}" for number in range(3)} <= {row["reason"] for row in rows}
    assert max(len(row["reason"]) for row in rows) <= 100


async def test_everything_of_the_account_is_found_and_cleaned() -> None:
    """All projects that have the service, all their groups, each with one request; decoys cost none.

    Each list that has any is read to an item that nothing follows.
    """
    async with Simulator(projects=12, groups=30, decoys=True) as sim:
        report = await cleaned(sim, region="eu-de")
        assert sim.remaining == 0
        assert Counter(entry.route for entry in sim.log) == {
            "list_own_projects": 1, "list_groups": 2 * 12, "delete_group_failures": 360
        }  # fmt: skip
    shown = report.to_dict()
    assert shown["discovery"] == {"projects": 12, "groups": 360, "left_out": DECOYS, "failed": []}
    assert report.targets["done"] == 360
    assert (shown["requests"]["sent"], shown["requests"]["reads"]) == (360, 1 + 2 * 12)
    assert report.exit_code == 0


async def test_clean_takes_a_selection_too() -> None:
    """The plain door finds its targets with the endpoint of IAM, and needs none for ids."""
    async with Simulator(projects=2, groups=3) as sim:
        ids = [sim.targets[0][0]]
        report = await clean(Selection(ids), endpoint=sim.url, auth=StaticToken(sim.token))
        assert (report.targets["done"], {entry.route for entry in sim.log}) == (
            3, {"list_groups", "delete_group_failures"}
        )  # fmt: skip
        report = await clean(Selection(), endpoint=sim.url, iam_endpoint=f"{sim.url}/v3", auth=StaticToken(sim.token))
        assert report.targets["done"] == 6
        with pytest.raises(ConfigError, match="IAM"):
            await clean(Selection(), endpoint=sim.url, auth=StaticToken(sim.token))


async def test_the_first_deletion_goes_out_before_the_last_page_is_in() -> None:
    """Pages and deletions overlap: no project waits for the lists of the others, nor for its own to end."""
    async with Simulator(projects=2, groups=2100, failed_tasks=1) as sim:
        report = await cleaned(sim)
        assert report.targets["done"] == 4_200
        routes = [entry.route for entry in sim.log]
        last_page = max(number for number, route in enumerate(routes) if route == "list_groups")
        assert routes.index("delete_group_failures") < last_page
        # A page ahead and no more: a project has all of its second page to take before it asks for the third.
        third = [number for number, entry in enumerate(sim.log) if "offset=1996" in entry.query]
        assert len(third) == 2
        assert all(routes[:number].count("delete_group_failures") > 900 for number in third)


async def test_lists_stay_inside_the_rate_limits() -> None:
    """Reads take their turn under the same limits as deletions: no window of the server holds more than allowed."""
    limits = Limits("40/s", 4, "150/s", None, 16)
    async with Simulator(projects=6, groups=30, project_rate="40/s", user_rate="150/s", quirks=["small-pages"]) as sim:
        report = await cleaned(sim, limits=limits)
        assert {entry.status for entry in sim.log} == {200, 204}
        assert sim.most_in_window(1.0) <= 40
        assert sim.most_in_window(1.0, by="user") <= 150
    assert report.targets["done"] == 180


# ---- what is selected


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["eu-de_project3"], [3]),
        (["eu-de"], [0]),
        (["*_project[24]"], [2, 4]),
        (["eu-de_project1", "eu-de_project*"], [1, 2, 3, 4, 5]),
        (["ID1", "eu-de_project2"], [1, 2]),
        (["ID1", "ID3"], [1, 3]),
        (["ID1", "ID1"], [1]),
    ],
)
async def test_projects_are_selected_by_id_name_or_pattern(entries: list[str], expected: list[int]) -> None:
    """Each entry is an id, a name or a pattern; a project that several of them name is taken once."""
    async with Simulator(projects=6, groups=2) as sim:
        ids = [project for project, _ in sim.targets[::2]]
        chosen = [ids[int(entry[2:])] if entry.startswith("ID") else entry for entry in entries]
        report = await cleaned(sim, Selection(chosen))
        assert {entry.project_id for entry in sim.log} - {None} == {ids[number] for number in expected}
        assert report.to_dict()["discovery"] == {
            "projects": len(expected),
            "groups": 2 * len(expected),
            "left_out": [],
            "failed": [],
        }


async def test_a_project_that_nobody_has_is_reported() -> None:
    """A name that fits none of the account's projects is a failure of discovery, the others are cleaned."""
    async with Simulator(projects=2, groups=2) as sim:
        report = await cleaned(sim, Selection(["eu-de", "no-such-project"]))
    [row] = failed(report)
    assert (row["project_id"], row["account"], row["verdict"], row["status_code"]) == (
        "no-such-project", "prod", "rejected", None
    )  # fmt: skip
    assert row["message"] == "no project that the account may use (2 in all) has this id or name, letter for letter"
    assert report.targets["done"] == 2
    assert report.exit_code == 1


@pytest.mark.parametrize("projects", [[], "eu-de", (), [""], [None], 5])
def test_a_selection_of_nothing_is_refused(projects: Any) -> None:
    """An empty list would be nothing and reads like all; a text alone is a list forgotten."""
    with pytest.raises(ConfigError, match="projects must be a list"):
        Selection(projects)


async def test_the_projects_own_level_is_deleted_only_where_it_is_asked_for() -> None:
    """Each project's own level is one call and one outcome, beside its groups; never without asking."""
    async with Simulator(projects=3, groups=2) as sim:
        report = await cleaned(sim)
        assert "delete_project_failures" not in {entry.route for entry in sim.log}
        async with connect(account(sim)) as session, session.stream(Selection(project_level=True)) as run:
            outcomes = [outcome async for outcome in run]
        own = [outcome for outcome in outcomes if isinstance(outcome.target, ProjectLevel)]
        assert {one.target.project_id for one in own} == {project for project, _ in sim.targets}
        assert {one.verdict for one in own} == {Verdict.DELETED}
        assert [sim.failed_tasks(project) for project in {project for project, _ in sim.targets}] == [0, 0, 0]
    shown = run.report.to_dict()
    assert report.targets["planned"] == 6
    assert (shown["targets"]["planned"], shown["project_level"]["done"]) == (9, 3)


# ---- what cannot be listed


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        ({"status": 403}, "forbidden"),
        ({"status": 404}, "gone"),
        ({"status": 500}, "transient"),
        ({"status": 200, "body": "no json"}, "transient"),
        ({"status": 200, "body": '{"server_groups": 5}'}, "rejected"),
        ({"status": 200, "body": '{"server_groups": [{"id": "batch"}], "count": 1}'}, "rejected"),
    ],
)
async def test_a_project_that_cannot_be_listed_keeps_no_other(fault: dict[str, Any], verdict: str) -> None:
    """One project whose groups cannot be listed is noted, and the others are cleaned."""
    async with Simulator(projects=4, groups=5) as sim:
        bad = sim.targets[5][0]
        sim._faults = type(sim._faults)([Fault("status", route="list_groups", only=bad, **fault)], 0, "", "")
        report = await cleaned(sim)
        assert not [entry for entry in sim.log if entry.project_id == bad and entry.method == "DELETE"]
    [row] = failed(report)
    assert (row["project_id"], row["verdict"], row["account"]) == (bad, verdict, "prod")
    assert report.targets["done"] == 15
    assert report.exit_code == 1


@pytest.mark.parametrize(
    "quirks",
    [
        ["zero-count"], ["page-count"], ["repeats"], ["small-pages"], ["small-pages", "zero-count"],
        ["small-pages", "page-count"],
    ],
)  # fmt: skip
async def test_servers_that_page_badly_are_complete_all_the_same(
    quirks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count of nothing or of the page alone, repeats and small pages lose no group, and end."""
    if "small-pages" not in quirks:
        monkeypatch.setattr(discovery, "_IN_HAND", 100)  # pages of 100
    async with Simulator(projects=1, groups=250, failed_tasks=1, quirks=quirks) as sim:
        report = await cleaned(sim)
        assert sim.remaining == 0
    assert report.to_dict()["discovery"] == {"projects": 1, "groups": 250, "left_out": [], "failed": []}
    assert (report.targets["done"], report.targets["duplicates"]) == (250, 0)


async def test_a_server_that_ignores_the_offset_is_reported_as_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was seen is cleaned, each project costs two readings of two pages, and the exit code is 1."""
    monkeypatch.setattr(discovery, "_IN_HAND", 100)  # pages of 100
    async with Simulator(projects=2, groups=201, failed_tasks=1, quirks=["ignores-offset"]) as sim:
        report = await cleaned(sim)
        assert Counter(entry.route for entry in sim.log)["list_groups"] == 8
        assert sim.remaining == 2 * 101
    assert {row["verdict"] for row in failed(report)} == {"incomplete"}
    assert len(failed(report)) == 2
    assert report.targets["done"] == 2 * 100
    assert report.exit_code == 1


@pytest.mark.parametrize(
    ("quirk", "message"),
    [
        (
            "wrong-count",
            "the list of server_groups ends after 200 of 1,000,000, which is its count, also when it is read once more",
        ),
        ("shrinks", "the list of server_groups changes while it is read, also when it is read once more"),
    ],
)
async def test_a_list_that_stays_in_doubt_is_never_clean(
    quirk: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer groups than the count, or pages that do not join: what was seen is cleaned, and the exit code is 1."""
    monkeypatch.setattr(discovery, "_IN_HAND", 100)  # pages of 100
    async with Simulator(projects=1, groups=200, failed_tasks=1, quirks=[quirk]) as sim:
        report = await cleaned(sim)
        assert sim.remaining == 0
    [row] = failed(report)
    assert (row["project_id"], row["verdict"]) == (sim.targets[0][0], "incomplete")
    assert row["message"].startswith(message)
    assert report.exit_code == 1


async def test_no_list_is_ended_by_what_another_has_shown() -> None:
    """One project's count is that of its list; the other's first page is short and counts itself: a cache before it."""
    async with Simulator(projects=2, groups=5, failed_tasks=1) as sim:
        other = sim.targets[5][0]
        short = {"server_groups": [{"id": group} for project, group in sim.targets[5:7]], "count": 2}
        fault = Fault("status", route="list_groups", only=other, status=200, body=short, times=1)
        sim._faults = type(sim._faults)([fault], 0, "", "")
        one = account(sim)
        async with connect(one) as session, session.lists() as lists:
            for project, _ in sim.targets[::5]:
                assert len([group async for group in lists.groups(one, project)]) == 5


@pytest.mark.parametrize(("more", "count"), [([], 250), (["shrinks"], 200), (["ignores-offset"], 100)])
async def test_failed_tasks_are_all_listed_or_the_list_is_incomplete(more: list[str], count: int) -> None:
    """A hundred at a time, each page with its own count, of a list that may change meanwhile or never go on."""
    async with Simulator(projects=1, groups=1, failed_tasks=250, quirks=["small-pages", *more]) as sim:
        one, found = account(sim), []
        async with connect(one) as session, session.lists() as lists:
            with pytest.raises(ListingError) if more else nullcontext() as raised:
                async for task in lists.failed_tasks(one, *sim.targets[0]):
                    found.append(task)  # noqa: PERF401 - what came before the error counts
    assert len(found) == count
    assert raised is None or raised.value.reply.verdict is Verdict.INCOMPLETE


async def test_an_account_whose_projects_cannot_be_listed_keeps_no_other() -> None:
    """The list of projects of one account fails: noted without a project; the other account is cleaned."""
    async with (
        Simulator(projects=2, groups=2, seed=1, faults=[Fault("status", route="list_own_projects", status=403)]) as bad,
        Simulator(projects=2, groups=2, seed=2) as good,
    ):
        accounts = account(bad, "bad"), account(good, "good")
        async with connect(accounts, retry=QUICK) as session:
            report = await session.clean(dict.fromkeys(accounts, Selection()))
        assert (good.remaining, len(bad.log)) == (0, 1)
    [row] = failed(report)
    assert (row["project_id"], row["account"], row["verdict"], row["status_code"]) == (None, "bad", "forbidden", 403)
    assert report.exit_code == 1


async def test_two_accounts_with_the_same_project_clean_it_once() -> None:
    """A project that two accounts can see is cleaned with one request per group; the second time is a duplicate."""
    async with Simulator(projects=3, groups=4) as sim:
        accounts = account(sim, "a"), account(sim, "b")
        async with connect(accounts) as session:
            report = await session.clean(dict.fromkeys(accounts, Selection()))
        assert Counter(entry.route for entry in sim.log)["delete_group_failures"] == 12
    assert (report.targets["planned"], report.targets["duplicates"]) == (12, 12)


async def test_a_refused_token_is_told_with_all_that_was_not_listed() -> None:
    """No account can sign in: the error says so, and discovery is not said to be complete."""
    async with Simulator(projects=2, groups=2) as sim:
        one = Account("prod", sim.url, StaticToken("wrong"), iam_endpoint=sim.url)
        async with connect(one) as session:
            with pytest.raises(AuthenticationError, match="prod") as raised:
                await session.clean(Selection())
    assert raised.value.report is not None
    assert [row["verdict"] for row in failed(raised.value.report)] == ["unauthorized"]


# ---- finding first, deleting later


async def test_finding_deletes_nothing_and_its_report_goes_on() -> None:
    """Targets are handed out, nothing is deleted; the run that follows counts in the same report, within the limits."""
    limits = Limits("20/s", 4, None, None, 16)
    async with Simulator(projects=3, groups=15, project_rate="20/s") as sim:
        one = account(sim, limits=limits)
        async with connect(one) as session:
            async with session.find(Selection(project_level=True)) as finding:
                targets = [target async for target in finding]
            assert {entry.method for entry in sim.log} == {"GET"}
            assert [len(projects) for projects in finding.projects.values()] == [3]
            assert finding.projects["prod"][0].name == "eu-de"
            finding.report.restart()
            async with session.stream(targets, report=finding.report) as run:
                outcomes = [outcome async for outcome in run]
        assert sim.remaining == 0
        assert sim.most_in_window(1.0) <= 20
        assert {entry.status for entry in sim.log} == {200, 204}
    assert run.report is finding.report
    assert len(targets) == len(outcomes) == len(set(targets)) == 48
    shown = run.report.to_dict()
    assert shown["discovery"] == {"projects": 3, "groups": 45, "left_out": [], "failed": []}
    assert (shown["requests"]["reads"], shown["requests"]["sent"]) == (1 + 2 * 3, 48)
    assert run.report.exit_code == 0


async def test_each_target_that_is_found_is_told_with_its_account() -> None:
    """Which account brought it, also where several of them are listed at a time."""
    async with Simulator(projects=2, groups=5) as prod, Simulator(projects=2, groups=5, seed=4) as lab:
        accounts = {"prod": account(prod), "lab": account(lab, name="lab")}
        chosen = dict.fromkeys(accounts.values(), Selection())
        async with connect(accounts.values()) as session, session.find(chosen) as finding:
            found = [(finding.account, target) async for target in finding]
    for name, sim in (("prod", prod), ("lab", lab)):
        own = sorted((one.project_id, one.server_group_id) for owner, one in found if owner == name)
        assert own == sorted(sim.targets)


async def test_lists_that_were_throttled_are_counted_as_such() -> None:
    """The report's numbers and the server's agree for what only reads, too."""
    limits = Limits(None, 4, None, None, 16)
    async with Simulator(projects=12, groups=2, user_rate="8/s") as sim:
        async with connect(account(sim, limits=limits)) as session:
            async with session.find(Selection()) as finding:
                targets = [target async for target in finding]
            finding.report.finish()
        refused = sum(entry.status == 429 for entry in sim.log)
    assert len(targets) == 24
    shown = finding.report.to_dict()["requests"]
    assert (shown["reads_throttled"], shown["throttled"]) == (refused, 0)
    assert shown["reads"] == len([entry for entry in sim.log if entry.method == "GET" and "/v1/" in entry.path]) + 1
    assert refused


async def test_a_slow_reader_of_a_finding_holds_its_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever does not take what was found is not buried in it: after about a thousand the lists wait."""
    monkeypatch.setattr(discovery, "_IN_HAND", 6400)  # pages of 400: the first ones fill the buffer
    async with Simulator(projects=8, groups=1200, failed_tasks=0) as sim:
        async with connect(account(sim)) as session, session.find(Selection()) as finding:
            await until(lambda: len(finding._buffer) >= 1024)
            await until(lambda: all(entry.status for entry in sim.log))
            assert len(finding._buffer) <= 1024 + 8
            # The first page of each, and the one ahead.
            assert Counter(entry.route for entry in sim.log)["list_groups"] <= 16
            count = 0
            async for _ in finding:
                count += 1
        assert count == 9_600


async def test_stopping_in_the_middle_of_discovery_is_an_interruption() -> None:
    """A run that is stopped while it lists ends at once; it is interrupted, which is no failure of discovery."""
    async with (
        Simulator(projects=3, groups=2, faults=[Fault("hang", route="list_groups")]) as sim,
        connect(account(sim)) as session,
        session.stream(Selection()) as run,
    ):
        await until(lambda: len(sim.log) == 4)
        run.stop(grace=0, signal=2)
        assert [outcome async for outcome in run] == []
    assert failed(run.report) == []
    assert run.report.interrupted
    assert run.report.exit_code == 130


@pytest.mark.parametrize("phase", ["projects", "groups"])
async def test_leaving_a_finding_early_leaves_nothing_behind(phase: str) -> None:
    """Leaving the context while pages are on the wire cancels them; the session can be used again."""
    route = {"projects": "list_own_projects", "groups": "list_groups"}[phase]
    async with Simulator(projects=3, groups=2, faults=[Fault("hang", route=route, times=1)]) as sim:
        async with connect(account(sim)) as session:
            async with session.find(Selection()):
                await until(lambda: any(entry.fault for entry in sim.log))
            assert not _left(session)
            report = await session.clean(Selection())
        assert report.targets["done"] == 6


def _left(session: Session) -> list[str]:
    fleet = session._fleet
    return [lane.project_id for lane in fleet.lanes() if lane.has_work() or lane.turn.active]
