"""The command `simulate`: a server for other processes."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
from contextlib import closing
from socket import create_server

import aiohttp
import pytest
from typer.testing import CliRunner

from sdrs_async.command.app import app
from sdrs_async.simulator import Fault
from tests.support.command import finished, process, run

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
        (["--jitter", "-1"], "--jitter"),
        (["--window", "leaky"], "--window"),
        (["--address-rate", "10/fortnight"], "rate '10/fortnight' is not understood"),
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


LISTS = """
import json, os, sys, urllib.error, urllib.request as http
url, headers = os.environ["HUAWEICLOUD_SDK_IAM_ENDPOINT"], {"X-Auth-Token": os.environ["OS_TOKEN"]}
def get(path):
    try:
        with http.urlopen(http.Request(url + path, headers=headers)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()
(project,) = json.loads(get("/v3/auth/projects")[1])["projects"]
print(json.dumps([get(f"/v1/{project['id']}/server-groups") for _ in range(int(sys.argv[1]))]))
"""


async def served(*flags: str, times: int) -> list[tuple[int, str]]:
    """Status and text of so many lists, one after the other, at a server with these flags."""
    lists = [sys.executable, "-S", "-c", LISTS, str(times)]
    done = await run("simulate", "--projects", "1", *flags, "--", *lists)
    assert (done.code, done.stderr) == (0, "")
    return [(status, text) for status, text in json.loads(done.stdout)]


@pytest.mark.parametrize(("flag", "policy"), [("--endpoint-rate", "api"), ("--address-rate", "ip")])
async def test_it_has_limits_of_endpoint_and_address(flag: str, policy: str) -> None:
    """What is over such a limit gets a 429, which tells whose limit it is, and how much."""
    (first, _), (second, text) = await served(flag, "1/1h", times=2)
    assert (first, second) == (200, 429)
    assert f"policy {policy} over ratelimit,limit:1,time:1 hour" in text


@pytest.mark.parametrize("window", ["sliding", "fixed", "bucket"])
async def test_it_hides_its_limits_and_counts_in_several_ways(window: str) -> None:
    """With `--hidden-limits` a 429 says nothing of the limit, however that is counted."""
    flags = ("--hidden-limits", "--window", window, "--user-rate", "1/1h", "--jitter", "0.001")
    (first, _), (second, text) = await served(*flags, times=2)
    assert (first, second) == (200, 429)
    assert "limit:" not in text


def test_every_flag_reaches_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the flags say of delays and limits is what the server is made with."""
    made: dict[str, object] = {}

    def simulator(**wanted: object) -> None:
        made.update(wanted)
        raise ValueError("enough")

    monkeypatch.setattr("sdrs_async.simulator.Simulator", simulator)
    flags = ["--jitter", "0.1", "--window", "fixed", "--hidden-limits", "--count-refused", "--fault", "close=1%"]
    rates = ["--endpoint-rate", "9/s", "--address-rate", "8/s", "--user-rate", "7/s", "--project-rate", "6/s"]
    assert CliRunner().invoke(app, ["simulate", *flags, *rates]).exit_code == 2
    expected = {
        "jitter": 0.1, "window": "fixed", "hidden": True, "count_refused": True, "endpoint_rate": "9/s",
        "address_rate": "8/s", "user_rate": "7/s", "project_rate": "6/s", "faults": [Fault("close", 0.01)],
    }  # fmt: skip
    assert {name: made[name] for name in expected} == expected
