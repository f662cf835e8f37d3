"""Delete failed SDRS tasks over many projects and protection groups, within every rate limit."""

from sdrs_async.errors import AuthenticationError, ConfigError, JournalError, SdrsError
from sdrs_async.models import Limits, Outcome, Rate, RetryPolicy, Target, Verdict

__all__ = [
    "AuthenticationError",
    "ConfigError",
    "JournalError",
    "Limits",
    "Outcome",
    "Rate",
    "RetryPolicy",
    "SdrsError",
    "Target",
    "Verdict",
]

__version__ = "0.1.0"
