"""The floor before a cleanup, and what is left while it runs: plans, questions, and the live display."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from typer.testing import CliRunner

from sdrs_async.accounts.account import Account
from sdrs_async.cleanup.plan import Plan
from sdrs_async.cleanup.spool import Spool
from sdrs_async.command.app import app
from sdrs_async.command.outlook import Outlook, Watch, spent, waiting
from sdrs_async.command.progress import Spent, Waiting
from sdrs_async.credentials.keys import StaticToken
from sdrs_async.engine.survey import Survey
from sdrs_async.formats.plan_text import floor_words
from sdrs_async.limits import Learned, Limits, Rate, UsedUp
from sdrs_async.models import Target
from sdrs_async.pace.floor import Floor
from sdrs_async.simulator import Simulator
from tests.command.test_finding import finding
from tests.command.test_inputs_accounts import Clouds
from tests.command.test_interrupts import on_terminal, without_yes
from tests.support.command import report, run, until
from tests.support.virtual_time import run_virtual

FREE = Limits(None, None, None, None, None)


class Limited(Survey):
    """What a look at a run shows, and the run: as a test says."""

    def __init__(self) -> None:
        super().__init__(())
        self.limits: list[Learned] = []
        self.by_kind: dict[str, tuple[int, float]] = {}
        self.full: list[UsedUp] = []
        self.asked, self.takes = 0, 0.0

    async def survey(self) -> Limited:
        """A look, for as long as it takes."""
        self.asked += 1
        await anyio.sleep(self.takes)
        return self

    def waits(self, now: float) -> dict[str, tuple[int, float]]:
        """Who waits, by kind."""
        return self.by_kind

    def used_up(self, now: float) -> list[UsedUp]:
        """What is used up."""
        return self.full

    def learned(self) -> list[Learned]:
        """What is known by now."""
        return self.limits


@pytest.fixture
def spooled() -> Iterator[Spool]:
    """Ten projects of a hundred groups."""
    with Spool() as spool:
        spool.fill(("prod", Target(f"p{project}", f"g{group}")) for project in range(10) for group in range(100))
        yield spool


def _account(name: str = "prod", **limits: Any) -> Account:
    rates = {"project_rate": None, "project_concurrency": None, "user_rate": None, "endpoint_rate": None}
    return Account(name, "https://host", StaticToken("t"), limits=Limits(**{**rates, **limits}))


# ---- before


def test_the_floor_of_a_list_is_that_of_its_accounts(spooled: Spool) -> None:
    """Its targets are counted for their accounts, those of the project level too; one that is not ready has none."""
    assert Plan([_account()], spooled).work() == {"prod": {f"p{number}": 100 for number in range(10)}}
    assert Plan([_account("test")], spooled).work() == {}
    with Spool() as with_levels:
        with_levels.fill(iter([("prod", Target("p", "g"))]), project_level=True)
        assert Plan([_account()], with_levels).work() == {"prod": {"p": 2}}
    plan = Plan([_account(user_rate="200/5min")], spooled)
    assert plan.floor() == Floor(1200.02, "user rate")
    assert floor_words(plan.floor()) == "at least 20 min 00 s at these limits (user rate)"
    assert plan.to_dict()["accounts"][0]["floor"] == {"floor_s": 1200.02, "bottleneck": "user rate"}


def test_each_account_has_a_floor_of_its_own() -> None:
    """As if it were alone, and beside it that of all, which share an endpoint."""
    first, second = _account("a", user_rate="10/s"), _account("b", endpoint_rate="5/s")
    with Spool() as spool:
        for account, groups in (("a", 21), ("b", 11)):
            spool.add([(account, Target("p", f"g{number}")) for number in range(groups)])
        spool.seal()
        plan = Plan([first, second], spool)
        assert (plan.floor("a").seconds, plan.floor("b").seconds) == (4.02, 2.02)
        assert plan.floor() == Floor(6.02, "endpoint rate")


def test_what_takes_no_time_is_not_worth_a_word() -> None:
    """Nothing to do, or less than a second of it."""
    assert floor_words(Floor()) == floor_words(Floor(0.9, "user rate")) == ""
    with Spool() as spool:
        assert Plan([_account()], spool).to_dict()["accounts"][0]["floor"] == {"floor_s": None, "bottleneck": None}


def _plan(folder: Path, monkeypatch: pytest.MonkeyPatch, groups: int, *flags: str) -> Any:
    """The outcome of a plan for a list of one project."""
    monkeypatch.setenv("OS_TOKEN", "a-token")
    path = folder / "targets"
    path.write_text("".join(f"p/g{number}\n" for number in range(groups)), "utf-8")
    args = ["plan", "--targets", str(path), "--any-ids", "--endpoint", "http://127.0.0.1:9", "--allow-http", *flags]
    return CliRunner().invoke(app, args)


def test_a_plan_names_the_floor_and_what_bounds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sent it is known how long it takes at least, in words and as JSON."""
    flags = ["--user-rate", "200/5min"]
    text = " ".join(_plan(tmp_path, monkeypatch, 401, *flags).stdout.split())
    assert (
        "Takes at least 10 min 00 s (20 ms per answer assumed): the rate per user (--user-rate) sets the pace." in text
    )
    document = json.loads(_plan(tmp_path, monkeypatch, 401, *flags, "--json", "-").stdout)
    assert document["floor"] == {
        "floor_s": 600.02, "bottleneck": "user rate", "latency_s": 0.02, "latency": "assumed",
    }  # fmt: skip
    assert document["accounts"][0]["floor"] == {"floor_s": 600.02, "bottleneck": "user rate"}
    assert "simulation" not in document


def test_a_dry_run_of_a_list_names_the_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It connects to nobody, and knows the limits all the same."""
    monkeypatch.setenv("OS_TOKEN", "a-token")
    path = tmp_path / "targets"
    path.write_text("p/g1\np/g2\np/g3\n", "utf-8")
    args = [
        "clean",
        "--dry-run",
        "--targets",
        str(path),
        "--any-ids",
        "--endpoint",
        "http://127.0.0.1:9",
        "--user-rate",
        "1/s",
    ]
    assert "Takes at least 2.02 s at these limits (user rate)." in CliRunner().invoke(app, args).stdout


def test_a_burst_is_a_limit_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flags take it, and it bounds the floor."""
    flags = ["--project-rate", "200/5min burst 20"]
    result = _plan(tmp_path, monkeypatch, 101, *flags)
    assert result.exit_code == 0
    assert "Takes at least 5.02 s" in result.stdout
    assert "200/5min burst 20 per project" in " ".join(result.stdout.split())


def test_a_plan_of_nothing_has_no_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list takes no time, and says none."""
    result = _plan(tmp_path, monkeypatch, 0, "--json", "-", "--simulate")
    assert json.loads(result.stdout)["floor"]["floor_s"] is None
    assert "Takes" not in result.stderr


async def test_a_plan_of_a_fleet_has_the_floor_of_each_account(tmp_path: Path) -> None:
    """Each account's own limits bound its own targets, and the two requests of each project's list beside them."""
    async with Simulator(projects=2, groups=3) as first, Simulator(projects=2, groups=5, seed=7) as second:
        clouds = Clouds(first, second, tmp_path)
        file = clouds.file(second='limits.user_rate = "1/s"')
        done = await clouds.run("plan", file, "--json", str(tmp_path / "plan.json"))
    assert done.code == 0, done.stderr
    document = json.loads((tmp_path / "plan.json").read_text("utf-8"))
    assert document["floor"]["bottleneck"] == "user rate"
    floors = [account["floor"] for account in document["accounts"]]
    assert floors == [
        {"floor_s": 0.02, "bottleneck": "latency"},
        {"floor_s": 13.02, "bottleneck": "user rate"},
    ]
    text = " ".join(done.stdout.split())
    assert "Takes at least 13.0 s, with its lists (20 ms per answer assumed): the rate per user" in text
    assert "Takes at least 0.02 s (latency)" in text
    assert "Takes at least 13.0 s (user rate)" in text


async def test_a_cleanup_says_how_long_it_takes_at_least(tmp_path: Path) -> None:
    """The question says it before the answer; where nobody is asked, the first line does."""
    async with Simulator(projects=1, groups=4) as simulator:
        args = without_yes(tmp_path, simulator, "--user-rate", "1/s")
        async with on_terminal(*args, token=simulator.token) as terminal:
            await until(lambda: "[y/N]" in terminal.text)
            assert "This takes at least 3.02 s at these limits (user rate).\r\nDelete the failed tasks" in terminal.text
            terminal.type(b"n\n")
            await terminal.command.wait()
        args = finding(simulator, "--all-projects", "--user-rate", "1/s")
        async with on_terminal(*args, token=simulator.token) as terminal:
            await until(lambda: "[y/N]" in terminal.text)
            assert "This takes at least 3.02 s at these limits (user rate).\r\nDelete the failed tasks" in terminal.text
        done = await run(*without_yes(tmp_path, simulator, "--user-rate", "2/s"), "--yes", token=simulator.token)
        assert "4 protection groups in 1 project: at least 1.02 s at these limits (user rate)" in done.stderr


# ---- who waits


@pytest.mark.parametrize(
    ("by_kind", "learned", "expected"),
    [
        ({}, [], Waiting()),
        ({"project": (3, 2.0)}, [], Waiting(3, 2.0)),
        ({"project": (3, 2.0), "user": (1, 9.0)}, [], Waiting(1, 9.0, "user")),
        (
            {"user": (1, 9.0)},
            [Learned("user", "a", Rate(200, 300), told=True), Learned("project", "a", Rate(1), told=True)],
            Waiting(1, 9.0, "user", "200/5min"),
        ),
        (
            {"project": (2, 9.0)},
            [Learned("project", "a", Rate(10), told=False), Learned("project", "a", Rate(8, 1.04696), told=False)],
            Waiting(2, 9.0, "project", "8/1.05s"),
        ),
    ],
)
def test_who_waits_is_named_with_its_limit(
    by_kind: dict[str, tuple[int, float]], learned: list[Learned], expected: Waiting
) -> None:
    """Of several kinds the one that waits longest, with the lowest limit that was learned of that kind."""
    limited = Limited()
    limited.by_kind, limited.limits = by_kind, learned
    assert waiting(limited, 0.0) == expected


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (Waiting(1, 11.2, "user", "200/5min"), "waiting 12 s (user throttled: 200/5min)"),
        (Waiting(2, 11.2, "user"), "waiting 12 s (2 users throttled)"),
        (Waiting(1, 0.1, "endpoint"), "waiting 1 s (endpoint throttled)"),
        (Waiting(1, 0.1, "sign-in"), "waiting 1 s (sign-in throttled)"),
        (Waiting(1, 0.1), "waiting 1 s (1 project throttled)"),
        (Waiting(1200, 0.1, "project", "8/1.05s"), "waiting 1 s (1,200 projects throttled: 8/1.05s)"),
    ],
)
def test_the_words_for_who_waits(held: Waiting, words: str) -> None:
    """The scope that a 429 named, not always projects."""
    assert str(held) == words


@pytest.mark.parametrize(("takes", "looks"), [(0.001, 101), (1.0, 2)])
def test_a_look_that_takes_long_is_not_repeated_at_every_redraw(takes: float, looks: int) -> None:
    """With a hundred thousand projects it takes a while: it costs a share of the time, however many there are."""
    limited = Limited()
    limited.takes = takes

    async def follow() -> None:
        with anyio.move_on_after(20.2):
            await Watch(limited.survey).follow()

    run_virtual(follow())
    assert limited.asked == looks


@pytest.mark.parametrize(
    ("full", "fleet_file", "words"),
    [
        ([UsedUp("user", "OS_TOKEN", Rate(300, 30), "configured", 19.2)], False, "waits 20 s: --user-rate 300/30s"),
        (
            [UsedUp("user", "a", Rate(300, 30), "configured", 9.0), UsedUp("user", "b", Rate(300, 30), "told", 19.2)],
            True,
            "waits 20 s: b: user rate 300/30s, as a 429 says",
        ),
        (
            [UsedUp("user", "a", Rate(300, 30, 20), "configured", 20), UsedUp("project", "a", Rate(1, 90), "told", 80)],
            True,
            "waits 20 s: a: user_rate 300/30s burst 20",
        ),
        (
            [UsedUp("endpoint", "https://host", Rate(2000, 300), "configured", 250)],
            False,
            "waits 250 s: --endpoint-rate 2000/5min",
        ),
        (
            [UsedUp("project", "a", Rate(8, 10.04696), "learned", 7, 3)],
            False,
            "waits 7 s: project rate 8/10.1s, found by trying (3 projects)",
        ),
    ],
)
def test_a_limit_that_is_used_up_is_named(full: list[UsedUp], fleet_file: bool, words: str) -> None:
    """The widest, as the user has set it, by a flag or in a file, or whence it is known; of several accounts whose."""
    limited = Limited()
    assert spent(limited, 0.0, fleet_file=fleet_file) is None
    limited.full = full
    assert str(spent(limited, 0.0, fleet_file=fleet_file)) == words


async def test_one_look_tells_of_both() -> None:
    """Who waits after a 429 and without one, as of now; nothing is told before the first look."""
    limited = Limited()
    limited.full = [UsedUp("user", "a", Rate(300, 30), "configured", 20.0)]
    watch = Watch(limited.survey)
    assert (waiting(watch.seen, 0.0), spent(watch.seen, 0.0)) == (Waiting(), None)
    await watch.look()
    assert (waiting(watch.seen, 0.0), spent(watch.seen, 0.0)) == (Waiting(), Spent(20.0, "--user-rate 300/30s"))


async def test_a_run_that_waits_for_its_own_limit_says_so(tmp_path: Path) -> None:
    """Without a 429 the live display names the flag and the seconds, and of a fleet the key of its file."""
    async with Simulator(projects=2, groups=4) as simulator:
        args = without_yes(tmp_path, simulator, "--user-rate", "5/11s", "--results", str(tmp_path / "results"))
        async with on_terminal(*args, token=simulator.token) as terminal:
            await until(lambda: "[y/N]" in terminal.text)
            terminal.type(b"y\n")
            await until(lambda: re.search(r"waits \d+ s: --user-rate 5/11s", terminal.text))
            assert len(simulator.log) == 5
            terminal.command.send_signal(signal.SIGINT)
            assert await terminal.command.wait() == 130


async def test_finding_that_waits_for_its_own_limit_says_so(tmp_path: Path) -> None:
    """Lists pass the same windows: finding stands still for the same reason."""
    async with Simulator(projects=8, groups=1) as simulator:
        args = ["plan", *finding(simulator, "--all-projects", "--user-rate", "3/11s")[1:]]
        async with on_terminal(*args, token=simulator.token) as terminal:
            await until(lambda: re.search(r"waits \d+ s: --user-rate 3/11s", terminal.text))
            assert 0 < len(simulator.log) <= 3
            terminal.command.send_signal(signal.SIGINT)
            assert await terminal.command.wait() == 130


# ---- how long what is left takes


class Clock:
    """An outlook of a run whose targets are settled in order, and the time that it is asked at."""

    def __init__(self, spooled: Spool, **limits: Any) -> None:
        self.limited = Limited()
        self.outlook = Outlook(Plan([_account(**limits)], spooled), now=1000.0)

    def left(self, at: float, settled: Mapping[str, int] | None = None) -> float:
        """Seconds that are left, so many seconds after the start, when so much of each project is settled."""
        for project_id in Counter(settled or {}).elements():
            self.outlook.settle("prod", project_id)
        held = waiting(self.limited, 0.0)
        return round(self.outlook.seconds(1000.0 + at, 0.02, frozenset(self.limited.limits), held), 2)


def test_a_window_that_is_used_up_does_not_look_idle(spooled: Spool) -> None:
    """200 of 1,000 went at once, then nothing for five minutes: it is known that four more windows are to come."""
    clock = Clock(spooled, user_rate="200/5min")
    assert clock.left(0.0) == 1200.02
    assert clock.left(10.0, {"p0": 100, "p1": 100}) == 1190.02
    assert clock.left(299.0) == 901.02
    assert clock.left(310.0, {"p2": 100, "p3": 100}) == 890.02


def test_a_run_that_is_late_has_what_is_left_before_it(spooled: Spool) -> None:
    """Less was done than the limits permit: what is left decides, not the time that is over."""
    clock = Clock(spooled, user_rate="200/5min")
    assert clock.left(1100.0, {"p0": 100}) == 1200.02 == clock.left(1100.0)
    assert clock.left(1101.5, {"p1": 100}) == 900.02


def test_a_learned_limit_counts_from_when_it_is_known(spooled: Spool) -> None:
    """A 429 tells 200 per 5 minutes: the scope waits the window out, then what is left takes its own windows."""
    clock = Clock(spooled)
    assert clock.left(0.0) == 0.02
    clock.limited.limits = [Learned("user", "prod", Rate(200, 300), told=True)]
    clock.limited.by_kind = {"user": (1, 299.0)}
    assert clock.left(1.0, {"p0": 100, "p1": 100}) == 299.0 + 900.02
    clock.limited.by_kind = {}
    assert clock.left(301.0, {"p2": 100, "p3": 100}) == 899.02
    clock.limited.limits = [Learned("user", "prod", Rate(600, 300), told=False)]
    assert clock.left(310.0) == 0.02


def test_a_project_that_waits_delays_only_itself(spooled: Spool) -> None:
    """Which one it is, is not known: its wait is not added to what the others have to do."""
    clock = Clock(spooled, user_rate="100/s")
    clock.limited.by_kind = {"project": (1, 50.0)}
    assert clock.left(0.0) == 9.02
    clock.limited.by_kind = {"user": (1, 50.0)}
    assert clock.left(1.0) == 59.02
    clock.limited.by_kind = {"endpoint": (1, 50.0)}
    assert clock.left(2.0) == 59.02


def test_of_several_accounts_one_that_waits_may_not_be_the_last() -> None:
    """The wait counts where the kind of scope that waits is the one that sets the pace."""
    with Spool() as spool:
        for account in ("a", "b"):
            spool.add([(account, Target("p", f"g{number}")) for number in range(101)])
        spool.seal()
        plan = Plan([_account("a", user_rate="10/s"), _account("b")], spool)
        for kind, seconds in (("user", 60.02), ("endpoint", 10.02), ("project", 10.02)):
            outlook = Outlook(plan, now=0.0)
            assert round(outlook.seconds(0.0, 0.02, frozenset(), Waiting(1, 50.0, kind)), 2) == seconds


def test_what_one_account_has_done_is_not_done_by_its_twin() -> None:
    """The same project id with two accounts: what is left of each is its own."""
    with Spool() as spool:
        spool.add([(account, Target("p", f"g{number}")) for account in ("a", "b") for number in range(101)])
        spool.seal()
        plan = Plan([_account("a", user_rate="10/s"), _account("b", user_rate="5/s")], spool)
        outlook = Outlook(plan, now=0.0)
        for account, done, at, left in (("a", 100, 20.0, 20.02), ("b", 96, 30.0, 0.02)):
            for _ in range(done):
                outlook.settle(account, "p")
            assert round(outlook.seconds(at, 0.02, frozenset(), Waiting()), 2) == left


def test_it_is_worked_out_once_per_second(spooled: Spool) -> None:
    """A display is drawn more often; between, the time just goes on."""
    clock = Clock(spooled, user_rate="200/5min")
    assert [clock.left(seconds) for seconds in (50.0, 50.5, 50.9, 51.0)] == [1200.02, 1199.52, 1199.12, 1200.02]
    assert _looks(Clock(spooled, user_rate="200/5min")) == 10


def test_with_many_projects_it_is_worked_out_once_in_five_seconds() -> None:
    """The work is that of the projects; a hundred thousand of them must not show in the load."""
    with Spool() as spool:
        spool.fill(("prod", Target(f"p{project}", "g")) for project in range(10_001))
        assert _looks(Clock(spool, user_rate="1/s")) == 2


def _looks(clock: Clock) -> int:
    """How often it is worked out, if it is asked ten times a second, for ten seconds."""
    seen = []
    for tick in range(100):
        clock.left(tick / 10)
        seen.append(clock.outlook._seen_at)
    return len(set(seen))


async def test_the_live_lines_know_the_limit_that_a_429_told(tmp_path: Path) -> None:
    """A user limit that nobody configured: the display says who waits and for how long, the summary what it is."""
    async with Simulator(projects=2, groups=8, user_rate="10/3s") as simulator:
        args = without_yes(tmp_path, simulator)
        async with on_terminal(*args, token=simulator.token) as terminal:
            await until(lambda: "[y/N]" in terminal.text)
            terminal.type(b"y\n")
            assert await terminal.command.wait() == 0
            await until(lambda: "wrote " in terminal.text)
            text = " ".join(terminal.text.split())
    assert re.search(r"0:0[123] left; waiting [123] s \(user throttled: 10/3s\)", text)
    assert "User rate of OS_TOKEN: 10/3s, as its 429 says" in text
    assert "--user-rate 10/3s" in text
    document = report(tmp_path)
    assert document["limits"]["learned"] == [
        {"scope": "user", "account": "OS_TOKEN", "rate": "10/3s", "told": True, "projects": 0}
    ]
    assert document["speed"]["bottleneck"] == "user rate (learned)"
    assert 0 < document["speed"]["efficiency"] <= 1


async def test_a_fleet_is_told_the_lines_for_its_file(tmp_path: Path) -> None:
    """Limits that were learned of an account of a fleet file are shown as its lines, on the page too."""
    async with (
        Simulator(projects=2, groups=8, user_rate="10/2s") as first,
        Simulator(projects=1, groups=1, seed=7) as second,
    ):
        clouds = Clouds(first, second, tmp_path)
        page = tmp_path / "page.html"
        files = ["--html", str(page), "--json", str(tmp_path / "report.json")]
        done = await clouds.run("clean", clouds.file(second='limits.user_rate = "2/10s"'), "--yes", *files)
    assert done.code == 0, done.stderr
    # Each account has its own limits: list and group of the second need no second window.
    assert report(tmp_path)["speed"]["bottleneck"] == "user rate (learned)"
    assert '[accounts.first]\n    limits.user_rate = "10/2s"' in done.stdout
    assert "--user-rate" not in done.stdout.replace("(--user-rate)", "")
    assert "[accounts.first]\nlimits.user_rate = &#34;10/2s&#34;" in page.read_text("utf-8")


async def test_a_report_of_a_fleet_has_the_floor_of_its_slowest_account(tmp_path: Path) -> None:
    """Each account's own limits bound its own targets, in the report too."""
    first, second = Simulator(projects=2, groups=3), Simulator(projects=1, groups=5, seed=7)
    async with first, second:
        clouds = Clouds(first, second, tmp_path)
        file = clouds.file(second='limits.user_rate = "2/s"')
        done = await clouds.run("clean", file, "--yes", "--json", str(tmp_path / "report.json"))
    assert done.code == 0, done.stderr
    document = report(tmp_path)
    assert document["speed"]["bottleneck"] == "user rate"
    assert 2 < document["speed"]["floor_s"] < 2.5 < document["duration_s"]


async def test_a_plan_knows_the_limits_that_its_lists_met(tmp_path: Path) -> None:
    """What a 429 told while projects were listed is in the plan, bounds its time, and has the flag that keeps to it."""
    out = tmp_path / "plan.json"
    async with Simulator(projects=6, groups=4, user_rate="3/2s", latency=0.02) as simulator:
        environ = simulator.environment
        args = ["--all-projects", "--region", "eu-de", "--credential", "ak-sk", "--json", str(out)]
        done = await run("plan", *args, environ=environ)
    assert done.code == 0, done.stderr
    document = json.loads(out.read_text("utf-8"))
    (learned,) = document["limits"]["learned"]
    assert (learned["scope"], learned["rate"], learned["told"]) == ("user", "3/2s", True)
    # 24 groups and 6 lists of two requests each, three in any two seconds.
    assert document["floor"]["floor_s"] == 22.02
    assert document["floor"]["bottleneck"] == "user rate (learned)"
    text = " ".join(done.stdout.split())
    assert "the rate per user that the server showed sets the pace" in text
    assert "Limits that the server showed User rate of access key" in text
    assert "--user-rate 3/2s" in text


async def test_the_lists_of_a_run_are_part_of_its_floor(tmp_path: Path) -> None:
    """What a run finds takes the places of a limit too: a window that the groups alone would fit in is not enough."""
    async with Simulator(projects=1, groups=4, latency=0.02) as simulator:
        flags = ["--all-projects", "--iam-endpoint", simulator.url, "--endpoint", simulator.url, "--user-rate", "4/2s"]
        out = ["--yes", "--json", str(tmp_path / "report.json")]
        done = await run("clean", *flags, *out, token=simulator.token)
    assert done.code == 0, done.stderr
    document = report(tmp_path)
    assert 2 < document["speed"]["floor_s"] < 2.5
    assert document["speed"]["efficiency"] > 0.7
