"""The files a run writes: checked before anything is sent, results as they come, a report as a whole or not at all."""

from __future__ import annotations

import json
import os
import select
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self, TextIO

import anyio

from sdrs_async.errors import ConfigError
from sdrs_async.models import Outcome, Verdict
from sdrs_async.report import failure_line
from sdrs_async.report.projects import GROUP_OF

__all__ = ["FailureFile", "Outputs", "ResultsFile", "need_jinja", "written_whole"]

STDOUT = "-"


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a run writes to: paths, `-` for stdout, `None` for nowhere."""

    json: str | None = None
    results: str | None = None
    html: str | None = None

    @property
    def on_stdout(self) -> bool:
        """Whether stdout is taken, so that the summary has to go to stderr."""
        return STDOUT in (self.json, self.results, self.html)

    def check(self, source: str | None = None) -> None:
        """Raise `ConfigError` unless all of them can be written. Changes no file; `source` is one that is read."""
        if self.html is not None:
            need_jinja("--html")
        taken: dict[str, str] = {} if source in (None, STDOUT) else {_identity(str(source)): "--targets"}
        for flag, path in self.given():
            if not path:
                raise ConfigError(f"{flag}: the path is empty")
            # Nothing is lost in the null device that one output could take from another.
            other = flag if _is_null(path) else taken.setdefault(_identity(path), flag)
            if other != flag:
                raise ConfigError(f"{other} and {flag} cannot both be {'stdout' if path == STDOUT else repr(path)}")
            if path != STDOUT:
                _check_writable(flag, path)

    def given(self) -> list[tuple[str, str]]:
        """The flags that were given, each with its path."""
        flags = (("--json", self.json), ("--results", self.results), ("--html", self.html))
        return [(flag, path) for flag, path in flags if path is not None]


def need_jinja(flag: str) -> None:
    """Raise `ConfigError` when the library that HTML pages need is not installed."""
    if find_spec("jinja2") is None:
        raise ConfigError(f"{flag} needs the extra `html`: pip install 'sdrs-async[html]'")


def _identity(path: str) -> str:
    return path if path == STDOUT else os.path.realpath(path)


def _is_null(path: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(os.devnull)


def _check_writable(flag: str, path: str) -> None:
    final = os.path.realpath(path)
    try:
        if not os.path.exists(final):
            with open(final, "xb"):
                pass
            os.unlink(final)
        elif not _is_device(final):
            with open(final, "ab"):
                pass
    except OSError as error:
        raise ConfigError(f"{flag}: {path} cannot be written: {error.strerror or error}") from None


def _is_device(path: str) -> bool:
    """A pipe or device: opening it to try has effects, and putting a file in its place would be worse."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


@contextmanager
def written_whole(path: str) -> Iterator[TextIO]:
    """A text file that takes the place of `path` when the block ends well, and is gone when it does not.

    Raises `ConfigError` when the path cannot be written.
    """
    try:
        with _beside(os.path.realpath(path)) as file:
            yield file
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None


@contextmanager
def _beside(final: str) -> Iterator[TextIO]:
    # The file may be writable where its folder is not.
    if _is_device(final) or not os.access(os.path.dirname(final), os.W_OK):
        with open(final, "w", encoding="utf-8", newline="\n") as file:
            yield file
        return
    part = f"{final}.{os.getpid()}.part"
    try:
        with open(part, "x", encoding="utf-8", newline="\n") as file:
            yield file
        with suppress(FileNotFoundError):
            shutil.copymode(final, part)
        os.replace(part, final)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def _opened(path: str) -> TextIO:
    return open(path, "w", encoding="utf-8", newline="\n")


class ResultsFile:
    """One JSON line per target as it settles: the report's failure fields, `elapsed_s` and `finished_at`."""

    def __init__(self, path: str) -> None:
        self._on_stdout = path == STDOUT
        self._name = "stdout" if self._on_stdout else path
        try:
            self._file = sys.stdout if self._on_stdout else _opened(path)
        except OSError as error:
            raise ConfigError(f"--results: {path} cannot be written: {error.strerror or error}") from None
        self._may_wait = _may_wait(self._file)
        self._patience = anyio.CancelScope()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._on_stdout:
            with suppress(OSError):
                self._file.close()

    def wait_no_more(self) -> None:
        """From now on, `add` fails where it would have to wait for a reader."""
        self._patience.cancel()

    async def add(self, outcome: Outcome) -> None:
        """Write one line, at once; nothing for a target that never settled. Waits while the reader of a pipe does not
        read. Raises `ConfigError` if it cannot be written.
        """
        if outcome.verdict is Verdict.UNSETTLED:
            return
        finished = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {**failure_line(outcome), "elapsed_s": round(outcome.elapsed, 6), "finished_at": finished}
        text = f"{json.dumps(line)}\n"
        try:
            # JSON is ASCII here, so that letters are bytes: more of them at once would block the event loop.
            for start in range(0, len(text), select.PIPE_BUF):
                await self._writable()
                self._file.write(text[start : start + select.PIPE_BUF])
                self._file.flush()
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(f"--results: {self._name} cannot be written any more: {reason}") from None

    async def _writable(self) -> None:
        if self._may_wait and not _takes_more(self._file):
            with self._patience:
                await anyio.wait_writable(self._file.fileno())
            if self._patience.cancel_called:
                raise OSError("nobody reads it")
            self._patience = anyio.CancelScope()


def _takes_more(file: TextIO) -> bool:
    """Whether a pipe, socket or terminal takes `select.PIPE_BUF` bytes at once."""
    return bool(select.select([], [file], [], 0)[1])


def _may_wait(file: TextIO) -> bool:
    """Whether a write may have to wait for somebody who reads: to a pipe, socket or terminal."""
    try:
        return not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:  # not a file of the system
        return False


class FailureFile:
    """All failures of a run on disk, since its report holds only some in memory. Iterating reads them back.

    The file has no name, so that nothing is left behind by a kill.
    """

    def __init__(self) -> None:
        with _temporary():
            self._file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - `__exit__` closes it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._file.close()

    def add(self, outcome: Outcome) -> None:
        """Keep a target that failed, and none else. Raises `ConfigError` when the disk is full."""
        if outcome.verdict not in GROUP_OF:
            with _temporary():
                self._file.write(f"{json.dumps(failure_line(outcome))}\n")

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
            f"failures cannot be kept in a temporary file: {reason} (TMPDIR names another place)"
        ) from None
