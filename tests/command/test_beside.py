"""`simulate -- COMMAND`: a command beside the simulator, with its credentials and nobody else's."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from socket import create_connection, create_server
from urllib.parse import urlsplit

import pytest

from sdrs_async.command.beside import environment
from sdrs_async.simulator import Simulator
from tests.support.command import Done, finished, process, run, until

ROOT = Path(__file__).resolve().parents[2]
IAM = "HUAWEICLOUD_SDK_IAM_ENDPOINT"
URL = f"echo ${IAM}"


def is_open(url: str) -> bool:
    """Whether somebody listens there."""
    with suppress(ConnectionRefusedError), create_connection((urlsplit(url).hostname, urlsplit(url).port), 5):
        return True
    return False


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["sh", "-c", "exit 7"], 7, ""),
        (["sh", "-c", "kill -TERM $$"], -signal.SIGTERM, ""),  # a shell makes 143 of it
        (["no-such-command"], 127, "error: the command 'no-such-command' was not found: is it installed"),
        ([""], 127, "error: the command '' was not found"),
        (["/"], 126, "error: the command '/' cannot be run: Permission denied"),
    ],
)
async def test_its_end_is_that_of_the_command(command: list[str], code: int, said: str) -> None:
    """The exit code, or the signal that killed it; 127 and 126, and a line, for what cannot be started."""
    done = await run("simulate", "--", *command)
    assert (done.code, done.stdout) == (code, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == bool(said)


async def test_streams_and_flags_are_those_of_the_command() -> None:
    """It reads and writes what `simulate` was given; what follows its name is its own, `--` and our flags too."""
    text = b"a line\n\xff no UTF-8\n"
    assert (await run("simulate", "--seed", "3", "--", "wc", "-c", stdin=text)).stdout == f"{len(text)}\n"
    assert await run("simulate", "echo", "--seed", "3", "--", "-h") == Done(0, "--seed 3 -- -h\n", "")
    # Python ignores SIGPIPE, and a command that inherits this would complain here.
    assert await run("simulate", "--", "sh", "-c", "yes | head -n 1") == Done(0, "y\n", "")


ASKS = f"import os, urllib.request as http; print(http.urlopen(os.environ[{IAM!r}] + '/simulator/summary').status)"


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(lambda: os.close(0), id="no stdin"),
        pytest.param(lambda: any(map(os.close, (0, 2))), id="no stdin, no stderr"),
        pytest.param(lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN), id="ends of children ignored"),
    ],
)
async def test_the_server_answers_however_the_command_was_started(start: Callable[[], object]) -> None:
    """Services and jobs are started with streams that are closed, or by who does not care when children end."""
    async with process("simulate", "--", sys.executable, "-c", ASKS, preexec_fn=start) as command:
        assert await finished(command) == Done(0, "200\n", "")


async def test_the_server_ends_after_the_command() -> None:
    """Nobody listens any more, and the files of credentials are gone; meanwhile it is no child of the command."""
    children = "import os\ntry:\n os.wait()\nexcept ChildProcessError:\n print('no child')"
    script = f'{URL} $OS_CLIENT_CONFIG_FILE; exec {sys.executable} -c "{children}"'
    done = await run("simulate", "--", "sh", "-c", script)
    assert (done.code, done.stderr) == (0, "")
    (url, file), ended = done.stdout.split("\n")[0].split(), done.stdout.split("\n")[1]
    assert ended == "no child"
    await until(lambda: not is_open(url) and not Path(file).parent.exists())


async def test_the_server_ends_after_a_command_that_was_killed() -> None:
    """Nothing can be done then, and nothing has to be: the server sees it."""
    async with process("simulate", "--", "sh", "-c", f"{URL}; exec sleep 60") as command:
        assert command.stdout is not None
        url = (await command.stdout.readline()).decode().strip()
        assert is_open(url)
        command.kill()
        await until(lambda: not is_open(url))


async def test_ctrl_c_and_sigterm_are_the_commands_own() -> None:
    """Each signal reaches it once, sent to all processes of the group or to one; the server is there to the end."""
    script = (
        "import os, signal, sys, urllib.request as http\n"
        "url = os.environ['HUAWEICLOUD_SDK_IAM_ENDPOINT']\n"
        "def told(number, frame):\n"
        "    with http.urlopen(f'{url}/simulator/summary') as answer:\n"
        "        os.write(1, b'%d %d\\n' % (number, answer.status))\n"
        "signal.signal(signal.SIGINT, told), signal.signal(signal.SIGTERM, told)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    async with process("simulate", "--", sys.executable, "-c", script, start_new_session=True) as command:
        assert command.stdout is not None
        assert command.stdin is not None
        assert await command.stdout.readline() == b"ready\n"
        os.killpg(command.pid, signal.SIGINT)
        assert await command.stdout.readline() == b"2 200\n"
        command.terminate()
        assert await command.stdout.readline() == b"15 200\n"
        assert await finished(command, b"\n") == Done(0, "", "")


def typed(screen: int, *, until_shown: bytes) -> bytes:
    """All that a terminal shows up to these bytes."""
    shown = b""
    while until_shown not in shown:
        shown += os.read(screen, 4096)
    return shown


def test_an_interactive_shell_has_its_terminal() -> None:
    """With job control: Ctrl-Z stops what runs in it, not the shell, which has the simulator's variables."""
    pid, screen = pty.fork()
    if pid == 0:
        os.environ["PS1"] = "ready> "
        command = [sys.executable, "-m", "sdrs_async", "simulate", "--", "bash", "--norc", "-i"]
        os.execv(command[0], command)
    with open(screen, "wb", buffering=0) as keys:
        typed(screen, until_shown=b"ready> ")
        keys.write(b"sh -c 'echo it \"\"runs; exec sleep 60'\n")
        typed(screen, until_shown=b"it runs")
        keys.write(b"\x1a")
        assert b"Stopped" in typed(screen, until_shown=b"ready> ")
        keys.write(b'kill -9 %1; disown -a; test -n "$OS_TOKEN" && exit 5\n')
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5


async def test_what_keeps_the_server_from_starting_is_told_and_nothing_runs() -> None:
    """A taken port, no room for its files, or a server that dies: a line, and the command is not started."""
    with closing(create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        done = await run("simulate", "--port", str(port), "--", "echo", "it runs")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: cannot listen on port {port}: ")
    for wrong, code, said in (
        ("import tempfile; tempfile.tempdir = '/dev/null'", 2, "error: no files of credentials can be written"),
        ("import sdrs_async.command.beside as it; it._serve = None", 1, "error: the simulator ended before"),
    ):
        script = f"{wrong}\nfrom sdrs_async.command.cli import main; main()"
        command = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            script,
            "simulate",
            "--",
            "echo",
            "it runs",
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=ROOT,
        )
        done = await finished(command)
        assert (done.code, done.stdout) == (code, "")
        assert said in done.stderr


# ---- it must not reach another cloud


def test_the_environment_is_without_other_credentials() -> None:
    """All families of variables that name credentials, hosts or files of those; the rest stays."""
    others = {
        "OS_CLOUD": "prod", "OS_AUTH_TOKEN": "real", "OS_CACERT": "ca", "HUAWEICLOUD_SDK_SECURITY_TOKEN": "real",
        "HUAWEICLOUD_OIDC_ID_TOKEN": "real", "HW_CLOUD": "real.example", "HC_CONTAINER_CREDENTIALS_FULL_URI": "real",
    }  # fmt: skip
    kept = {"HOME": "/home/me", "PATH": "/bin", "HTTPS_PROXY": "http://proxy:3128", "HOST": "me", "TRACE_OS_": "x"}
    expected = {**kept, "OS_TOKEN": "simulated", "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    assert environment({"OS_TOKEN": "simulated"}, others | kept) == expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"NO_PROXY": "intranet"}, "intranet,127.0.0.1"),
        ({"no_proxy": "intranet", "NO_PROXY": "other"}, "intranet,127.0.0.1"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_no_proxy_is_asked_for_the_simulator(before: dict[str, str], after: str) -> None:
    """It is one more host that needs none, in both spellings, since programs differ in which they read."""
    found = environment({}, before)
    assert (found["no_proxy"], found["NO_PROXY"]) == (after, after)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home."""
    for folder in (".huaweicloud", ".config/openstack"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


RUNS = """
import json, os
from typer.testing import CliRunner
from sdrs_async.command.app import app
for flags in json.loads(os.environ["RUNS"]):
    result = CliRunner().invoke(app, ["clean", "--all-projects", "--yes", *flags])
    print(json.dumps([flags, result.exit_code, result.output]))
"""


async def test_no_credential_of_the_caller_reaches_another_cloud(home: Path) -> None:
    """With credentials of a real cloud in each place where they may be, `clean --yes` cleans the simulated one.

    Whatever kind is asked for; a cloud of the user's clouds.yaml is not there.
    """
    async with Simulator(projects=1, groups=1, seed=9) as real:
        variables = real.environment
        auth = {
            name: variables[f"OS_{name.upper()}"]
            for name in ("auth_url", "username", "password", "user_domain_name", "project_domain_name")
        }
        clouds = json.dumps(
            {"clouds": {name: {"auth": auth, "region_name": "eu-de"} for name in ("prod", "simulated")}}
        )
        for name in ("clouds.yaml", "secure.yaml"):
            (home / ".config/openstack" / name).write_text(clouds)
        keys = f"[basic]\nak = {variables['HUAWEICLOUD_SDK_AK']}\nsk = {variables['HUAWEICLOUD_SDK_SK']}\n"
        for file in ("profile", ".huaweicloud/credentials"):
            (home / file).write_text(keys)
        (home / "clouds").write_text(clouds)
        own = variables | {
            "HOME": str(home), "HTTP_PROXY": real.url, "OS_CLOUD": "prod",
            "OS_CLIENT_CONFIG_FILE": str(home / "clouds"),
            "OS_CLIENT_SECURE_FILE": str(home / "clouds"), "HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(home / "profile"),
            "HUAWEICLOUD_SDK_REGION_SDRS_EU_NL": real.url, "OS_ACCESS_KEY": "REAL", "OS_SECRET_KEY": "real",
        }  # fmt: skip
        kinds = ("token", "ak-sk", "openstack", "huawei")
        clean = [[], *(["--credential", kind] for kind in kinds), ["--os-cloud", "simulated"]]
        refused = [["--os-cloud", "prod"], ["--region", "eu-nl"]]
        environ = own | {"RUNS": json.dumps(clean + refused)}
        done = await run("simulate", "--groups", "2", "--", sys.executable, "-c", RUNS, environ=environ)
        assert (done.code, done.stderr) == (0, "")
        assert (real.log, real.remaining) == ([], 2)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(flags, code) for flags, code, _ in results] == [
        *((flags, 0) for flags in clean), *((flags, 2) for flags in refused)
    ]  # fmt: skip
    assert all("6 groups in 3 projects: 6 deleted" in said for _, _, said in results[: len(clean)])
