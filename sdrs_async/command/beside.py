"""A command beside the simulator: it has the credentials of the simulator and no others, and the server ends after it.

The process that was started becomes the command, so that signals, the terminal and the exit code are between it and
whoever started it. The server is a process of its own, which is no child of the command: there are commands that wait
for all of theirs.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import anyio

from sdrs_async.command.streams import flush_both, say
from sdrs_async.errors import ConfigError, SdrsError

if TYPE_CHECKING:
    from sdrs_async.simulator import Simulator

CLOUD = "simulated"
"""The cloud of clouds.yaml that the command may name."""

_FAMILIES = ("OS_", "HUAWEICLOUD_", "HW_", "HC_CONTAINER_")
_LOOPBACK = "127.0.0.1"
_LOOKS = 0.1  # seconds between two looks at whether the command has ended


def become(serving: AbstractAsyncContextManager[None], simulator: Simulator, command: Sequence[str]) -> int:
    """Start the server, which serves while the block of `serving` lasts, and be the command from then on.

    Returns the exit code where the command cannot be started, and in the server's process once the command has ended.
    Raises `ConfigError` when the server cannot listen.
    """
    reader, writer = os.pipe()
    process = os.getpid()
    flush_both()  # or both processes write out what is still to be written
    if _is_the_other():
        os.close(reader)
        _occupy_streams()
        anyio.run(_serve, serving, simulator, process, writer)
        return 0
    os.close(writer)
    return _start(command, environment(_told(reader), os.environ))


def environment(variables: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the command: its own, with these credentials in place of all that lead to other clouds.

    Proxies stay, but none is asked for the simulator.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(_FAMILIES)}
    direct = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if direct.strip() != "*":  # which means all hosts only where it stands alone
        direct = f"{direct},{_LOOPBACK}".lstrip(",")
    return {**kept, "no_proxy": direct, "NO_PROXY": direct, **variables}


# ---- the process that becomes the command


def _told(reader: int) -> dict[str, str]:
    """The variables of the server, once it is ready."""
    with open(reader, encoding="utf-8") as answers:
        text = answers.read()
    if not text:
        raise SdrsError("the simulator ended before it was ready")
    answer = json.loads(text)
    if "error" in answer:
        raise ConfigError(answer["error"])
    variables: dict[str, str] = answer["variables"]
    return variables


def _start(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Be the command; the exit code that shells have for it where that cannot be."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a command inherits what is ignored
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], list(command), environ)  # noqa: S606 - what the user asks for, and no shell in between
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for an empty name
        say(f"error: the command {command[0]!r} was not found: is it installed, and its folder in PATH?")
        return 127
    except OSError as error:
        say(f"error: the command {command[0]!r} cannot be run: {error.strerror or error}")
        return 126


# ---- the process of the server


def _is_the_other() -> bool:
    """Fork: true in the new process, which is nobody's child and which no signal of the terminal reaches."""
    child = os.fork()
    if child:
        with suppress(ChildProcessError):  # whoever started it has SIGCHLD ignored: the system forgets children then
            os.waitpid(child, 0)
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    # A signal for all processes of a service ends the command, which may still have requests to send then.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    return True


async def _serve(serving: AbstractAsyncContextManager[None], simulator: Simulator, process: int, writer: int) -> None:
    """Serve, tell the variables, and return when the process has ended."""
    try:
        with TemporaryDirectory(prefix="sdrs-async-") as folder:
            async with serving:
                _tell(writer, {"variables": simulator.environment | _files(Path(folder), simulator)})
                _leave_streams()
                while _is_there(process):  # noqa: ASYNC110 - it sets no event of ours
                    await anyio.sleep(_LOOKS)
    except ConfigError as error:
        _tell(writer, {"error": str(error)})
    except OSError as error:
        _tell(writer, {"error": f"no files of credentials can be written for the command: {error}: set TMPDIR"})


def _tell(writer: int, answer: Mapping[str, Any]) -> None:
    with suppress(OSError), open(writer, "w", encoding="utf-8") as answers:  # an error where nobody is left to be told
        json.dump(answer, answers)


def _files(folder: Path, simulator: Simulator) -> dict[str, str]:
    """Variables that name files of credentials: while they do, nobody reads those in the user's home."""
    of = simulator.environment
    signs_in = ("OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_USER_DOMAIN_NAME", "OS_PROJECT_DOMAIN_NAME")
    auth = {name.removeprefix("OS_").lower(): of[name] for name in signs_in}
    clouds = {CLOUD: {"auth": auth, "region_name": of["OS_REGION_NAME"]}}
    keys = "".join(f"{name.lower()} = {of[f'HUAWEICLOUD_SDK_{name}']}\n" for name in ("AK", "SK", "IAM_ENDPOINT"))
    texts = {
        "OS_CLIENT_CONFIG_FILE": json.dumps({"clouds": clouds}),  # which is YAML too
        "OS_CLIENT_SECURE_FILE": "{}",
        "HUAWEICLOUD_SDK_CREDENTIALS_FILE": f"[basic]\n{keys}",
    }
    for variable, text in texts.items():
        (folder / variable).write_text(text, "utf-8")
    return {variable: str(folder / variable) for variable in texts}


def _occupy_streams() -> None:
    """Nothing that the server opens gets the number of a stream that was closed: `_leave_streams` would replace it."""
    while (end := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(end)


def _leave_streams() -> None:
    """Whoever reads what the command writes sees the end of it when the command has ended, not the server."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)


def _is_there(process: int) -> bool:
    try:
        with suppress(PermissionError):  # the command runs as another user by now
            os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
