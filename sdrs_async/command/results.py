"""What a run writes target by target: its results as they come, and its failures, which no memory would hold."""

from __future__ import annotations

import fcntl
import json
import os
import select
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TextIO

import anyio

from sdrs_async.command.documents import is_regular, opened, unwritable
from sdrs_async.command.streams import STDOUT, takes_more
from sdrs_async.errors import ConfigError
from sdrs_async.models import Outcome, Verdict
from sdrs_async.report import failure_line
from sdrs_async.report.fields import rfc3339
from sdrs_async.report.projects import GROUP_OF


class ResultsFile(AbstractContextManager["ResultsFile"]):
    """One JSON line per target as it settles: the report's failure fields, `endpoint`, `elapsed_s` and `finished_at`.

    It is opened at once, and emptied by `begin`; without that, what was there stays, and nothing new does. `endpoint`
    is not there where nothing has named it. Raises `ConfigError`, also while another run writes to the same file.
    """

    def __init__(self, path: str) -> None:
        self._on_stdout = path == STDOUT
        self._path = "stdout" if self._on_stdout else path
        self._endpoints: Mapping[str, str] = {}
        self._to_remove = not (self._on_stdout or os.path.exists(path))
        try:
            self._file = sys.stdout if self._on_stdout else _opened(path)
        except (OSError, ValueError) as error:
            raise unwritable("--results", path, error) from None
        self._may_wait = _may_wait(self._file)
        self._is_patient = True
        self._wait: anyio.CancelScope | None = None

    def __exit__(self, *error: object) -> None:
        if self._to_remove:  # before it is closed, and its lock gone: then it may be another run's
            with suppress(OSError):
                os.unlink(os.path.realpath(self._path))
        if not self._on_stdout:
            with suppress(OSError):
                self._file.close()

    def begin(self, endpoints: Mapping[str, str]) -> None:
        """From now on it is the file of this run, whose accounts are there, by their names. Raises `ConfigError`."""
        self.check()
        self._endpoints = endpoints
        self._to_remove = False
        try:
            if not (self._on_stdout or self._may_wait):
                self._file.truncate(0)
        except OSError as error:
            raise unwritable("--results", self._path, error) from None

    def check(self) -> None:
        """Raise `ConfigError` when somebody has deleted the file meanwhile: what is written goes nowhere then."""
        if not self._on_stdout and os.fstat(self._file.fileno()).st_nlink == 0:
            raise ConfigError(f"--results: {self._path} was deleted meanwhile: what is written to it is lost")

    def wait_no_more(self) -> None:
        """From now on, `add` fails where it would have to wait for a reader."""
        self._is_patient = False
        if self._wait is not None:
            self._wait.cancel()

    async def add(self, outcome: Outcome) -> None:
        """Write one line, at once; nothing for a target that never settled. Waits while the reader of a pipe does not
        read. Raises `ConfigError` if it cannot be written.
        """
        if outcome.verdict is Verdict.UNSETTLED:
            return
        text = f"{json.dumps(self._line(outcome))}\n"
        try:
            # JSON is ASCII here, so that letters are bytes: more of them at once would block the event loop.
            for start in range(0, len(text), select.PIPE_BUF):
                await self._writable()
                self._file.write(text[start : start + select.PIPE_BUF])
                self._file.flush()
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(f"--results: {self._path} cannot be written any more: {reason}") from None

    def _line(self, outcome: Outcome) -> dict[str, Any]:
        line = failure_line(outcome)
        if (endpoint := self._endpoints.get(outcome.account)) is not None:
            line["endpoint"] = endpoint
        finished = rfc3339(datetime.now(UTC), "milliseconds")
        return line | {"elapsed_s": round(outcome.elapsed, 6), "finished_at": finished}

    async def _writable(self) -> None:
        if not self._may_wait or takes_more(self._file):
            return
        if self._is_patient:
            with anyio.CancelScope() as self._wait:
                await anyio.wait_writable(self._file.fileno())
        if not self._is_patient:
            raise OSError("nobody reads it")


def _opened(path: str) -> TextIO:
    """The file, kept to this run until it is closed, as far as its file system has locks.

    Raises `ConfigError` while another run has it, `OSError` and `ValueError`.
    """
    descriptor = opened(path, create=True)
    try:
        if is_regular(descriptor):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(f"--results: {path} is being written by another run (give another file)") from None
    except OSError:  # it has none
        pass
    return open(descriptor, "w", encoding="utf-8", newline="\n")


def _may_wait(file: TextIO) -> bool:
    """Whether a write may have to wait for somebody who reads: to a pipe, socket or terminal."""
    try:
        return not is_regular(file.fileno())
    except OSError:  # not a file of the system
        return False


class FailureFile(AbstractContextManager["FailureFile"]):
    """All failures of a run on disk, since its report holds only some in memory. Iterating reads them back.

    The file has no name, so that nothing is left behind by a kill. Raises `ConfigError` when there is no place for it.
    """

    def __init__(self) -> None:
        with _temporary():
            with open(os.devnull, "rb"):
                pass  # without a descriptor left, `tempfile` would say that there is no folder
            self._file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - `__exit__` closes it

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self._file.close()

    def add(self, outcome: Outcome) -> None:
        """Keep a target that failed, and none else. Raises `ConfigError` when the disk is full."""
        if outcome.verdict not in GROUP_OF:
            with _temporary():
                self._file.write(f"{json.dumps(failure_line(outcome))}\n")
                self._file.flush()  # a full disk has to show while the report can still do without this file

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with _temporary():
            self._file.seek(0)
            for line in self._file:
                yield json.loads(line)


@contextmanager
def _temporary() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(
            f"--json: failures cannot be kept in a temporary file: {reason} (TMPDIR names another place)"
        ) from None
