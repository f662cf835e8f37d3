"""The command `simulate`: a server for other processes."""

from __future__ import annotations

import re
import shlex
import signal
from contextlib import closing
from socket import create_server

import aiohttp
import pytest
from typer.testing import CliRunner

from sdrs_async.command.commands import app
from tests.command import finished, process

FLAGS = (
    "--projects", "2", "--groups", "3", "--failed-tasks", "1", "--seed", "7", "--latency", "0.001",
    "--project-rate", "100/s", "--user-rate", "200/s", "--fault", "503@delete_group_failures=100%",
    "--fault", "404@list_groups=1",
)  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_until_a_signal(number: signal.Signals) -> None:
    """The URL, then `export` lines a shell can read, then an empty line; it answers as told, and a signal is exit 0."""
    async with process("simulate", *FLAGS) as command:
        assert command.stdout is not None
        url = (await command.stdout.readline()).decode().rstrip("\n")
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        exports: dict[str, str] = {}
        while line := (await command.stdout.readline()).decode().rstrip("\n"):
            words = shlex.split(line)
            assert words[0] == "export"
            name, _, value = words[1].partition("=")
            exports[name] = value
        assert {"OS_TOKEN", "OS_AUTH_URL", "OS_PASSWORD", "HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"} <= exports.keys()
        async with aiohttp.ClientSession(headers={"X-Auth-Token": exports["OS_TOKEN"]}) as session:
            async with session.get(f"{url}/v3/auth/projects") as response:
                projects = (await response.json())["projects"]
            async with session.get(f"{url}/v1/{projects[0]['id']}/server-groups") as response:
                assert response.status == 404
        assert len(projects) == 2
        command.send_signal(number)
        done = await finished(command)
        assert (done.code, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--fault", "flood=1"], "fault 'flood=1' is not understood"),
        (["--project-rate", "10/fortnight"], "rate '10/fortnight' is not understood"),
        (["--port", "70000"], "--port"),
        (["--latency", "-1"], "--latency"),
        (["--projects", "-1"], "--projects"),
    ],
)
def test_bad_flags_are_exit_code_2(flags: list[str], message: str) -> None:
    """What the simulator cannot be is refused with a message, before it listens."""
    result = CliRunner().invoke(app, ["simulate", *flags], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_a_port_that_is_taken_is_named() -> None:
    """A port on which another server listens: exit code 2 and the port."""
    with closing(create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        result = CliRunner().invoke(app, ["simulate", "--port", str(port)], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: cannot listen on port {port}: ")
