"""Everything that can stop a run, as one tree.

    SdrsError
    ├── ConfigError           bad usage, configuration or input; nothing more is sent (exit code 2)
    ├── AuthenticationError   no account could sign in (exit code 3)
    ├── ListingError          a list could not be read, or not to its end
    └── JournalError          the journal cannot be used (exit code 2)

One target's failure is never an exception: it is an `Outcome` with its verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdrs_async.models import Reply
    from sdrs_async.report import Report

__all__ = ["AuthenticationError", "ConfigError", "JournalError", "ListingError", "SdrsError"]


class SdrsError(Exception):
    """Base of all errors that stop a run. `report` holds what was done before, `None` if nothing had started."""

    def __init__(self, message: str, *, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report


class ConfigError(SdrsError):
    """Usage, configuration or input is wrong; the message names the place and what to do."""


class AuthenticationError(SdrsError):
    """No account could sign in; `report` counts what was refused and what was skipped."""


class ListingError(SdrsError):
    """A list could not be read, or not to its end; what came before is good. `reply`: the answer that was the last."""

    def __init__(self, message: str, reply: Reply) -> None:
        super().__init__(message)
        self.reply = reply

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.reply), self.__dict__  # by `args` alone a copy would lack the reply


class JournalError(SdrsError):
    """The journal is in use, damaged or of another run."""
