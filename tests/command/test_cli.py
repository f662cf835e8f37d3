"""The command `clean`: what it refuses before anything is sent, what it asks, what it writes and where."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from typer.testing import CliRunner, Result

from sdrs_async import RetryPolicy, StaticToken, __version__
from sdrs_async.accounts.account import Pending
from sdrs_async.accounts.connecting import Connection
from sdrs_async.cleanup.spool import Spool
from sdrs_async.command import cli
from sdrs_async.command.app import app
from sdrs_async.command.cleanup import Cleanup
from sdrs_async.command.endings import Ending
from sdrs_async.command.outputs import Outputs
from sdrs_async.errors import AuthenticationError, ConfigError, SdrsError
from sdrs_async.report import Ledger
from sdrs_async.simulator import Fault, Simulator
from tests.support.command import Done, arguments, finished, process, report, run, texts, write_targets

P = "0123456789abcdef0123456789abcdef"
G = "decf224d-87fe-403a-8721-037a1a45c287"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A server with two projects of three groups."""
    async with Simulator(projects=2, groups=3) as server:
        yield server


@pytest.fixture
def full() -> Iterator[BinaryIO]:
    """A device that is always full."""
    if not os.path.exists("/dev/full"):
        pytest.skip("needs a device that is always full")
    with open("/dev/full", "wb") as device:
        yield device


def invoke(*args: str, stdin: str | None = None) -> Result:
    """Run the command inside this process."""
    return CliRunner().invoke(app, list(args), input=stdin, catch_exceptions=False)


# ---- refused before anything is sent


BAD_FILES = [
    (f"project,group\n{P},{G}\n", "line 1: the CSV header has to name project_id and server_group_id"),
    (f"project_id,server_group_id\n{P},{G}\n{P},..\n", "line 3: server_group_id '..' is refused"),
    (None, "the targets cannot be read: No such file or directory"),
]


@pytest.mark.parametrize(("content", "message"), BAD_FILES)
async def test_a_bad_file_is_refused_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator, content: str | None, message: str
) -> None:
    """A wrong header, a bad id, a missing file: exit code 2, one message that names the place, and nothing is sent."""
    monkeypatch.setenv("OS_TOKEN", simulator.token)
    path = tmp_path / "targets.csv"
    if content is not None:
        path.write_text(content, "utf-8")
    result = await asyncio.to_thread(
        invoke, "clean", "--targets", str(path), "--endpoint", simulator.url, "--yes", "--json", str(tmp_path / "r")
    )
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {path}")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert simulator.log == []
    assert not (tmp_path / "r").exists()


BAD_FLAGS = [
    (["--project-rate", "10/fortnight"], "--project-rate: rate '10/fortnight' has an unknown unit 'fortnight'"),
    (["--user-rate", "fast"], "--user-rate: rate 'fast' is not understood"),
    (["--endpoint-rate", "0/s"], "--endpoint-rate: '0/s' is not a rate: use a count of at least 1"),
    (["--concurrency", "0"], "--concurrency: '0' is not a number of requests"),
    (["--project-concurrency", "some"], "--project-concurrency: 'some' is not a number of requests"),
    (["--attempts", "0"], "--attempts: 0 is not a number of tries"),
    (["--timeout", "0"], "--timeout: 0 is not a time in seconds"),
    (["--retry-time", "inf"], "--retry-time: inf is not a time in seconds"),
    (["--timeout", "nan"], "--timeout: nan is not a time in seconds"),
    (["--endpoint", "http://sdrs.example.com"], "would send the credential unencrypted"),
    (["--endpoint", "sdrs.example.com"], "is not a URL"),
    (
        ["--endpoint", "https://x", "--ca-file", "/nowhere.pem"],
        "the CA file '/nowhere.pem' that --ca-file (ca_file) names cannot be used",
    ),
    (["--ca-file", "/nowhere.pem"], "the CA file '/nowhere.pem' that --ca-file (ca_file) names cannot be used"),
    (["--json", "-", "--results", "-"], "--json and --results cannot both be stdout"),
    (["--json", ""], "--json: the path is empty"),
    (["--targets", "", "--yes"], "--targets: the path is empty"),
    (["--json", "/nowhere/report.json"], "--json: /nowhere/report.json cannot be written: No such file or directory"),
    (["--html", "/"], "--html: / cannot be written: Is a directory"),
    (["--targets", "-"], "stdin, where the question would be answered: add --yes"),
    ([], "there is no terminal to ask on: add --yes"),
]


@pytest.mark.parametrize(("flags", "message"), BAD_FLAGS, ids=[" ".join(flags) or "no --yes" for flags, _ in BAD_FLAGS])
def test_a_bad_flag_is_one_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], message: str
) -> None:
    """Whatever flag is wrong, exit code 2 and one line on stderr that names it."""
    monkeypatch.setenv("OS_TOKEN", "a-token")
    path = tmp_path / "targets"
    path.write_text(f"{P}/{G}\n", "utf-8")
    # Nothing listens there, and nobody asks it.
    given = ["--targets", str(path), "--endpoint", "http://127.0.0.1:9"]
    result = invoke("clean", *given, *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["targets"]


@pytest.mark.parametrize(
    ("token", "message"), [(None, "OS_TOKEN is not set"), ("", "OS_TOKEN is not set"), ("a\nb", "OS_TOKEN: the token")]
)
def test_without_a_token_nothing_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None, message: str
) -> None:
    """No token, an empty one or one with a line break: exit code 2 and the variable's name, not its value."""
    if token is not None:
        monkeypatch.setenv("OS_TOKEN", token)
    result = invoke("clean", "--targets", "x", "--endpoint", "https://sdrs.example.com", "--yes")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "a\nb" not in result.stderr


def test_os_cacert_stands_in_for_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    """OS_CACERT names the certificates where `--ca-file` does not."""
    monkeypatch.setenv("OS_TOKEN", "a-token")
    monkeypatch.setenv("OS_CACERT", "/from-the-environment.pem")
    given = ["clean", "--targets", "x", "--endpoint", "https://sdrs.example.com"]
    assert "'/from-the-environment.pem' that OS_CACERT names cannot be used" in invoke(*given).stderr
    assert (
        "'/from-the-flag.pem' that --ca-file (ca_file) names cannot be used"
        in invoke(*given, "--ca-file", "/from-the-flag.pem").stderr
    )


def test_usage_errors_and_the_version() -> None:
    """Unknown and missing flags and commands exit with 2; `--version` and `--help` with 0."""
    assert invoke("clean").exit_code == 2
    assert invoke("clean", "--journal", "x").exit_code == 2
    assert invoke("plan").exit_code == 2
    assert invoke("--version").stdout == f"sdrs-async {__version__}\n"
    for command in ("clean", "report", "demo", "simulate"):
        assert invoke(command, "--help").exit_code == 0


def test_a_bug_shows_no_values_of_variables() -> None:
    """An unexpected error keeps Python's own traceback, which shows lines of code and no credential."""
    assert app.pretty_exceptions_enable is False


def test_the_help_of_clean_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """The help page of `clean` explains every flag, all exit codes and the environment variables."""
    monkeypatch.setenv("COLUMNS", "200")
    text = invoke("clean", "--help").stdout
    for word in (
        "OS_TOKEN",
        "OS_CACERT",
        "HTTPS_PROXY",
        "0:",
        "1:",
        "2:",
        "3:",
        "5:",
        "130:",
        "143:",
        "[default: 10/s]",
    ):
        assert word in text


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without typer or rich the command says in one line what to install, and exits with 2."""
    monkeypatch.delitem(sys.modules, "sdrs_async.command.app")
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: the command needs its extra: pip install 'sdrs-async[cli]'\n"


def test_another_missing_module_is_a_bug_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the extra's own libraries are explained: a broken installation is not called a missing extra."""
    monkeypatch.setitem(sys.modules, "sdrs_async.command.app", None)
    with pytest.raises(ModuleNotFoundError, match=r"sdrs_async\.command\.app"):
        cli.main()


# ---- selected, and what is asked


def test_an_empty_selection_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without targets: a warning, a report of nothing, exit code 0, and no question."""
    monkeypatch.setenv("OS_TOKEN", "a-token")
    path = tmp_path / "targets"
    path.write_text("# none yet\n", "utf-8")
    result = invoke(
        "clean", "--targets", str(path), "--endpoint", "http://127.0.0.1:9", "--json", str(tmp_path / "report.json")
    )
    assert result.exit_code == 0
    assert result.stderr.startswith(f"warning: {path} names no protection group")
    assert report(tmp_path)["targets"]["planned"] == 0


async def test_a_dry_run_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> None:
    """`--dry-run` shows how many groups of each project would be cleaned, needs no `--yes`, and sends no request."""
    monkeypatch.setenv("OS_TOKEN", simulator.token)
    path = write_targets(tmp_path, simulator, simulator.targets[0])
    result = await asyncio.to_thread(
        invoke, "clean", "--targets", path, "--endpoint", simulator.url, "--dry-run", "--json", str(tmp_path / "r")
    )
    assert (result.exit_code, result.stderr) == (0, "warning: a dry run writes no files: --json left out\n")
    host = simulator.url.removeprefix("http://")
    projects = sorted({project for project, _ in simulator.targets})
    assert result.stdout.splitlines() == [
        f"Dry run: would delete the failed tasks of 6 protection groups in 2 projects at {host}; nothing was sent.",
        "Left out: 1 duplicates.",
        "",
        "  groups  project",
        *(f"       3  {project}" for project in projects),
    ]
    assert simulator.log == []
    assert not (tmp_path / "r").exists()


# ---- a run


async def test_a_run_cleans_everything_and_writes_all_files(tmp_path: Path, simulator: Simulator) -> None:
    """Targets from stdin: the failed tasks are gone, report, results and page are written, the summary is on stdout."""
    rows = "".join(f"{project}/{group}\n" for project, group in [*simulator.targets, simulator.targets[0]])
    args = ["clean", "--targets", "-", "--endpoint", simulator.url, "--yes", "--json", str(tmp_path / "report.json")]
    files = ["--results", str(tmp_path / "results.jsonl"), "--html", str(tmp_path / "report.html")]
    done = await run(*args, *files, token=simulator.token, stdin=rows.encode())
    assert done.code == 0, done.stderr
    assert simulator.remaining == 0
    assert len(simulator.log) == 6
    assert "6 groups in 2 projects: 6 deleted" in done.stdout
    assert done.stderr.splitlines() == [
        f"OS_TOKEN: token, {simulator.url}",
        *(f"wrote {tmp_path / name}" for name in ("report.json", "report.html")),
    ]
    document = report(tmp_path)
    assert (document["targets"]["done"], document["targets"]["duplicates"]) == (6, 1)
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text("utf-8").splitlines()]
    assert sorted((line["project_id"], line["server_group_id"]) for line in lines) == sorted(simulator.targets)
    assert all(line["verdict"] == "deleted" and line["status_code"] == 204 and line["attempts"] == 1 for line in lines)
    assert all(line["elapsed_s"] > 0 and line["finished_at"].endswith("Z") for line in lines)
    assert "</html>" in (tmp_path / "report.html").read_text("utf-8")


async def test_stdout_is_for_the_result(tmp_path: Path, simulator: Simulator) -> None:
    """With an output on stdout nothing else is there: the summary goes to stderr."""
    done = await run(*arguments(tmp_path, simulator)[:-2], "--json", "-", token=simulator.token)
    assert json.loads(done.stdout)["targets"]["done"] == 6
    assert "\n6 groups in 2 projects: 6 deleted\n" in done.stderr
    done = await run(*arguments(tmp_path, simulator)[:-2], "--results", "-", token=simulator.token)
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == ["deleted"] * 6
    assert "6 groups in 2 projects" in done.stderr


async def test_quiet_prints_the_result_alone(tmp_path: Path) -> None:
    """One line on stdout, nothing on stderr; where an output is on stdout, only a result that is not good is told."""
    shown: dict[int, list[Done]] = {}
    for status, flag in ((204, "-q"), (405, "--quiet")):
        only = [Simulator(projects=2, groups=3).targets[0][1]]
        faults = [Fault("status", status=405, only=only)] if status == 405 else []
        for more in ([], ["--html", str(tmp_path / "page")], ["--json", "-"], ["--results", "-"]):
            async with Simulator(projects=2, groups=3, faults=faults) as simulator:
                args = [*arguments(tmp_path, simulator)[:-2], flag, *more]
                shown.setdefault(status, []).append(await run(*args, token=simulator.token))
    good = "6 groups in 2 projects: 6 deleted; every group is clean (exit code 0)\n"
    bad = "6 groups in 2 projects: 5 deleted, 1 failed; not every group is clean (exit code 1)\n"
    assert [(done.code, done.stdout) for done in shown[204][:2]] == [(0, good)] * 2
    assert [(done.code, done.stdout) for done in shown[405][:2]] == [(1, bad)] * 2
    assert [done.stderr for done in shown[204] + shown[405]] == [""] * 6 + [bad] * 2
    assert json.loads(shown[405][2].stdout)["targets"]["failed"] == 1
    assert len(shown[405][3].stdout.splitlines()) == 6


async def test_quiet_warns_of_nothing_to_do_by_its_result(tmp_path: Path, simulator: Simulator) -> None:
    """That nothing was selected is the result; that a dry run writes no files is a note."""
    path = tmp_path / "targets.csv"
    path.write_text("project_id,server_group_id\n", "utf-8")
    args = ["clean", "--targets", str(path), "--endpoint", simulator.url, "-q"]
    done = await run(*args, "--yes", token=simulator.token)
    result = "0 groups in 0 projects: 0 deleted; nothing was selected, so nothing was done (exit code 0)\n"
    assert done == Done(0, result, "")
    done = await run(*args, "--dry-run", "--json", str(tmp_path / "report.json"), token=simulator.token)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith("Dry run: ")


async def test_a_size_that_is_none_prints_as_80_columns(tmp_path: Path, simulator: Simulator) -> None:
    """Some environments say that a terminal has no columns and no lines: nothing of the text is lost for that."""
    path = tmp_path / "report.json"
    await run(*arguments(tmp_path, simulator), token=simulator.token)
    for args in (["report", str(path)], ["clean", "--help"]):
        good, *others = [
            await run(*args, environ={"COLUMNS": columns, "LINES": lines, "TERM": "xterm"})
            for columns, lines in (("80", "24"), ("0", "0"), ("9" * 12, "-1"), ("\u0663\u0663", "wide"))
        ]
        assert others == [good] * 3
        assert (good.code, good.stderr) == (0, "")


async def test_every_failure_is_in_the_file(tmp_path: Path) -> None:
    """The report in memory holds 1,000 failures, the file all of them; the exit code is that of failures."""
    async with Simulator(projects=2, groups=510, faults=[Fault("status", status=405)]) as simulator:
        lifted = ("project-rate", "user-rate", "endpoint-rate", "project-concurrency", "concurrency")
        flags = [word for name in lifted for word in (f"--{name}", "none")]
        done = await run(*arguments(tmp_path, simulator, *flags), token=simulator.token)
        assert done.code == 1
        document = report(tmp_path)
        assert (document["targets"]["failed"], document["failures_omitted"]) == (1020, 0)
        assert {(f["project_id"], f["server_group_id"]) for f in document["failures"]} == set(simulator.targets)


async def test_a_refused_token_is_exit_code_3(tmp_path: Path, simulator: Simulator) -> None:
    """When the credential is refused everywhere: exit code 3, one error line, and summary and files are there."""
    done = await run(*arguments(tmp_path, simulator), token="not-the-token")
    assert done.code == 3
    assert "error: no account could sign in" in done.stderr
    assert "6 groups in 2 projects" in done.stdout
    targets = report(tmp_path)["targets"]
    assert (targets["planned"], targets["done"]) == (6, 0)


async def test_no_secret_is_ever_written(tmp_path: Path) -> None:
    """With the log at its fullest and answers that repeat the token, the token is in nothing that is written."""
    token = Simulator().token
    echo = Fault(
        "status", status=405, body={"error_code": "X", "error_msg": f"bad X-Auth-Token: {token} \x1b[31m[bold]"}
    )
    flags = ["--results", str(tmp_path / "results"), "--html", str(tmp_path / "page"), "--log-level", "debug"]
    async with Simulator(faults=[echo]) as simulator:
        assert simulator.token == token
        done = await run(*arguments(tmp_path, simulator, *flags), token=token)
    assert done.code == 1
    files = texts(tmp_path)
    assert list(files) == ["page", "report.json", "results", "targets.csv"]
    assert "DEBUG sdrs_async: DELETE http" in done.stderr
    for text in (done.stdout, files["page"], files["report.json"], files["results"]):
        assert "bad X-Auth-Token: *** [31m[bold]" in text
    for text in (done.stdout, done.stderr, *files.values()):
        assert token not in text
        assert "\x1b" not in text


async def test_an_existing_report_is_replaced_as_a_whole(tmp_path: Path, simulator: Simulator) -> None:
    """A report goes through a link to its file, keeps the file's mode, and leaves no other file behind."""
    real, link = tmp_path / "real.json", tmp_path / "report.json"
    real.write_text("{}", "utf-8")
    real.chmod(0o640)
    link.symlink_to(real)
    done = await run(*arguments(tmp_path, simulator), token=simulator.token)
    assert done.code == 0
    assert link.is_symlink()
    assert json.loads(real.read_text("utf-8"))["targets"]["done"] == 6
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert list(texts(tmp_path)) == ["real.json", "report.json", "targets.csv"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("flag", ["--html", "--json"])
async def test_a_full_disk_at_the_end_is_exit_code_2(tmp_path: Path, simulator: Simulator, flag: str) -> None:
    """A report that cannot be written at the end is an error, takes no other output with it, and is kept elsewhere."""
    flags = [flag, "/dev/full", "--html" if flag == "--json" else "--json", str(tmp_path / "other")]
    places = {"TMPDIR": str(tmp_path)}
    done = await run(*arguments(tmp_path, simulator)[:-2], *flags, token=simulator.token, environ=places)
    assert done.code == 2
    message = f"error: {flag}: /dev/full cannot be written: No space left on device; it is in {tmp_path}/full."
    assert message in done.stderr
    assert "6 groups in 2 projects: 6 deleted" in done.stdout
    assert len(texts(tmp_path)["other"]) > 1000
    (kept,) = (name for name in texts(tmp_path) if name.startswith("full."))
    assert len(texts(tmp_path)[kept]) > 1000
    assert stat.S_IMODE(os.stat(tmp_path / kept).st_mode) == 0o600


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
async def test_results_that_cannot_be_written_stop_the_run(tmp_path: Path) -> None:
    """A disk that fills up under `--results` ends the run gently: the report is complete, exit code 2."""
    async with Simulator(projects=2, groups=30, latency=0.02) as simulator:
        done = await run(*arguments(tmp_path, simulator, "--results", "/dev/full"), token=simulator.token)
        assert done.code == 2
        assert "error: --results: /dev/full cannot be written any more: No space left on device" in done.stderr
        assert "stopped by an error (exit code 2)" in " ".join(done.stdout.split())
        document = report(tmp_path)
        assert document["error"] == "--results: /dev/full cannot be written any more: No space left on device"
        # The file says the same as the run: `report` shows it with that error, and so does the page.
        again = await run("report", str(tmp_path / "report.json"))
        assert "stopped by an error (exit code 2)" in " ".join(again.stdout.split())
        targets = document["targets"]
        assert targets["planned"] == 60
        assert targets["done"] == len(simulator.log) < 60
        assert targets["unsettled"] == 60 - targets["done"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
async def test_results_that_fail_leave_the_failures_complete(tmp_path: Path) -> None:
    """Requests on the wire when `--results` fails are in the report with their failures, every one."""
    async with Simulator(projects=2, groups=30, faults=[Fault("status", status=405)], latency=0.1) as simulator:
        await run(*arguments(tmp_path, simulator, "--results", "/dev/full"), token=simulator.token)
        document = report(tmp_path)
        assert document["targets"]["failed"] == len(document["failures"]) > 1
        assert document["failures_omitted"] == 0


async def test_a_reader_of_results_that_goes_away_stops_the_run(tmp_path: Path) -> None:
    """`--results - | head -1`: the run ends gently with one clear line, the report is complete, exit code 2."""
    async with Simulator(projects=2, groups=30, latency=0.02) as simulator:
        read, write = os.pipe()
        args = arguments(tmp_path, simulator, "--results", "-")
        async with process(*args, token=simulator.token, stdout=write) as command:
            os.close(write)
            os.close(read)
            done = await finished(command)
        assert done.code == 2
        assert "error: --results: stdout cannot be written any more: Broken pipe" in done.stderr
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        assert report(tmp_path)["targets"]["planned"] == 60
        assert len(simulator.log) < 60


async def test_a_reader_of_the_summary_that_goes_away_changes_nothing(tmp_path: Path, simulator: Simulator) -> None:
    """`clean | true`: the exit code is the run's, and stderr stays clean."""
    read, write = os.pipe()
    async with process(*arguments(tmp_path, simulator, "--quiet"), token=simulator.token, stdout=write) as command:
        os.close(write)
        os.close(read)
        done = await finished(command)
    assert (done.code, done.stderr) == (0, "")
    assert report(tmp_path)["targets"]["done"] == 6


async def test_a_stderr_that_nobody_reads_changes_nothing(tmp_path: Path, simulator: Simulator) -> None:
    """Without a reader of stderr the run goes on, and its files, summary and exit code are the same."""
    read, write = os.pipe()
    args = arguments(tmp_path, simulator, "--log-level", "debug")
    async with process(*args, token=simulator.token, stderr=write) as command:
        os.close(write)
        os.close(read)
        done = await finished(command)
    assert done.code == 0
    assert "6 groups in 2 projects: 6 deleted" in done.stdout
    assert report(tmp_path)["targets"]["done"] == 6


FULL = [
    pytest.param([], id="summary"),
    pytest.param(["--json", "-"], id="document"),
    pytest.param(["--dry-run"], id="dry run"),
]


def kept_reports(folder: Path) -> list[Path]:
    """What was meant for stdout."""
    return [path for path in folder.glob("report.*") if path.name != "report.json"]


@pytest.mark.parametrize("flags", FULL)
async def test_a_full_stdout_is_one_error(
    tmp_path: Path, simulator: Simulator, flags: list[str], full: BinaryIO
) -> None:
    """Whatever goes to a stdout that is full: one error line, exit code 2, no traceback; files are written."""
    args = [*arguments(tmp_path, simulator)[:-2], "--quiet", "--results", str(tmp_path / "results"), *flags]
    if "--json" not in flags:
        args += ["--json", str(tmp_path / "report.json")]
    places = {"TMPDIR": str(tmp_path)}
    async with process(*args, token=simulator.token, environ=places, stdout=full) as command:
        done = await finished(command)
    assert done.code == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ") or "Error" in line]
    kept = "".join(f"; it is in {path}" for path in kept_reports(tmp_path))
    assert lines == [f"error: stdout cannot be written: No space left on device{kept}"]
    assert bool(kept) == ("--json" in flags)
    assert "Traceback" not in done.stderr
    if "--dry-run" not in flags:
        assert len(texts(tmp_path)["results"].splitlines()) == 6
    if flags == []:
        assert report(tmp_path)["targets"]["done"] == 6


@pytest.mark.parametrize("args", [["--version"], ["simulate"]], ids=["version", "simulate"])
async def test_a_full_stdout_is_one_error_of_other_commands_too(args: list[str], full: BinaryIO) -> None:
    """Commands that print a line or two end with the same error line and exit code 2."""
    async with process(*args, stdout=full) as command:
        done = await finished(command)
    assert (done.code, done.stderr) == (2, "error: stdout cannot be written: No space left on device\n")


@pytest.mark.parametrize("code", [0, 2])
async def test_a_full_stderr_changes_nothing(tmp_path: Path, simulator: Simulator, code: int, full: BinaryIO) -> None:
    """What cannot be said on stderr is lost: the run, its files, its summary and the exit code are the same."""
    args = arguments(tmp_path, simulator, "--log-level", "debug") if code == 0 else ["clean", "--no-such-flag"]
    async with process(*args, token=simulator.token, stderr=full) as command:
        done = await finished(command)
    assert done.code == code
    if code == 0:
        assert "6 groups in 2 projects: 6 deleted" in done.stdout
        assert report(tmp_path)["targets"]["done"] == 6


async def closed(redirection: str, *args: str, token: str) -> Done:
    """Run the command with standard streams closed, as the shell spells it."""
    shell = ["sh", "-c", f'exec "$0" -m sdrs_async "$@" {redirection}', sys.executable, *args]
    env = {**os.environ, "OS_TOKEN": token}
    command = await asyncio.create_subprocess_exec(*shell, env=env, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    return await finished(command)


@pytest.mark.parametrize("redirection", ["2>&-", "<&- >&- 2>&-"])
async def test_closed_streams_change_nothing(tmp_path: Path, simulator: Simulator, redirection: str) -> None:
    """A run without stdin, stdout or stderr cleans everything, writes its files and exits with 0."""
    done = await closed(redirection, *arguments(tmp_path, simulator), token=simulator.token)
    assert done.code == 0, done.stderr
    assert ("6 deleted" in done.stdout) is (">&- " not in f" {redirection} ".replace("2>&-", ""))
    assert "Traceback" not in done.stderr
    assert report(tmp_path)["targets"]["done"] == 6


async def test_a_closed_stdin_answers_nothing(tmp_path: Path, simulator: Simulator) -> None:
    """Without stdin nobody can be asked, and neither targets nor a report can be read from it: exit code 2."""
    without_yes = [arg for arg in arguments(tmp_path, simulator) if arg != "--yes"]
    for args, message in (
        (without_yes, "error: there is no terminal to ask on"),
        (["clean", "--targets", "-", "--endpoint", simulator.url, "--yes"], "error: stdin: the targets cannot be read"),
        (["report", "-"], "error: stdin: the report cannot be read: it is closed"),
    ):
        done = await closed("<&-", *args, token=simulator.token)
        assert done.code == 2
        assert done.stderr.startswith(message)
    assert simulator.log == []


def test_ctrl_c_at_the_start_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C while the libraries are still loading: exit code 130 and no traceback."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert (caught.value.code, capsys.readouterr().err) == (130, "")


async def test_what_stops_a_run_before_its_start_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """A connection that turns out to be unusable only when the run starts: an error line, no summary, exit code 2."""
    connection = Connection([Pending("one", "token", StaticToken("t"), "https://user@host")], RetryPolicy())
    with Spool() as spooled:
        ending = await Cleanup(connection, spooled, Outputs()).run()
    shown = capsys.readouterr()
    assert (ending.exit_code, ending.report, shown.out) == (2, None, "")
    assert shown.err.startswith("error: the endpoint")


@pytest.mark.parametrize(
    ("number", "error", "mishaps", "code"),
    [
        (None, None, 0, 0),
        (None, None, 1, 2),
        (None, ConfigError("x"), 0, 2),
        (None, AuthenticationError("x"), 1, 3),
        (15, AuthenticationError("x"), 1, 143),
        (2, None, 1, 130),
    ],
)
def test_where_several_exit_codes_hold(number: int | None, error: SdrsError | None, mishaps: int, code: int) -> None:
    """A signal goes before a refused credential, that before a failed output, that before what became of the groups."""
    done = Ledger()
    done.finish(interrupted_by=number)
    assert Ending(done, error, mishaps=[ConfigError("disk full")] * mishaps).exit_code == code
