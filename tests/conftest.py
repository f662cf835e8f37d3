"""Only what all tests share."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings

from tests.support.command import STEM
from tests.support.soak import EXAMPLES

# How long an example takes is the machine's matter; a test that never ends meets the time limit of all tests.
# Examples differ from run to run, and what failed once is kept in `.hypothesis`: many runs look further than one.
settings.register_profile("sdrs-async", deadline=None, max_examples=EXAMPLES)
settings.load_profile("sdrs-async")

PREFIXES = ("OS_", "HUAWEICLOUD_", "HW_", "HC_CONTAINER_")
# Proxies and certificates change where requests go; the rest changes what rich and typer print.
NAMES = {
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    "CURL_CA_BUNDLE",
    "PYTHONUNBUFFERED",  # it hides what a buffer does when nobody reads the stream any more
    *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"),
}


@pytest.fixture(autouse=True)
def no_network_env(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's credentials, proxies and terminal away from the tests and the processes they start."""
    for name in list(os.environ):
        if name.upper() in NAMES or name.upper().startswith(PREFIXES):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True, scope="session")
def signals_reach_children() -> Iterator[None]:
    """Start processes that SIGHUP and SIGINT end, also where the tests run under nohup or in the background."""
    # A handler is not inherited, and "ignored" is; the tests themselves go on ignoring a hang-up.
    before = signal.signal(signal.SIGHUP, lambda number, frame: None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(autouse=True, scope="session")
def no_leaked_process() -> Iterator[None]:
    """End the process that runs of the command are forked from."""
    yield
    STEM.stop()


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fail an async test that leaves a task running; for a module: `pytestmark = pytest.mark.usefixtures(...)`."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks left behind: {sorted(task.get_name() for task in left)}"
