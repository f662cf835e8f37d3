"""Delete failed SDRS tasks over many projects and protection groups, within every rate limit."""

from sdrs_async.auth import Auth, StaticToken
from sdrs_async.batch import Run, clean, stream
from sdrs_async.errors import AuthenticationError, ConfigError, JournalError, SdrsError
from sdrs_async.models import Limits, Outcome, Rate, Request, RetryPolicy, Target, Verdict
from sdrs_async.report import Report

__all__ = [
    "Auth",
    "AuthenticationError",
    "ConfigError",
    "JournalError",
    "Limits",
    "Outcome",
    "Rate",
    "Report",
    "Request",
    "RetryPolicy",
    "Run",
    "SdrsError",
    "StaticToken",
    "Target",
    "Verdict",
    "clean",
    "stream",
]

__version__ = "0.1.0"
