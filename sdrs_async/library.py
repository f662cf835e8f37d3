"""What `import sdrs_async` offers: the package takes it from here when the first of its names is used."""

from sdrs_async.accounts import Account
from sdrs_async.auth import AkSk, Auth, SignInFailed, StaticToken
from sdrs_async.batch import clean, stream
from sdrs_async.discovery import Selection
from sdrs_async.errors import AuthenticationError, ConfigError, JournalError, ListingError, SdrsError
from sdrs_async.huawei import HuaweiAuth
from sdrs_async.keystone import KeystoneAuth
from sdrs_async.listing import FailedTask, Group, Project
from sdrs_async.models import (
    Learned,
    Limits,
    Outcome,
    ProjectLevel,
    Rate,
    Request,
    RetryPolicy,
    Target,
    UsedUp,
    Verdict,
)
from sdrs_async.report import Report, Unlisted
from sdrs_async.run import Finding, Run
from sdrs_async.session import Lists, Session, connect

__all__ = [
    "Account",
    "AkSk",
    "Auth",
    "AuthenticationError",
    "ConfigError",
    "FailedTask",
    "Finding",
    "Group",
    "HuaweiAuth",
    "JournalError",
    "KeystoneAuth",
    "Learned",
    "Limits",
    "ListingError",
    "Lists",
    "Outcome",
    "Project",
    "ProjectLevel",
    "Rate",
    "Report",
    "Request",
    "RetryPolicy",
    "Run",
    "SdrsError",
    "Selection",
    "Session",
    "SignInFailed",
    "StaticToken",
    "Target",
    "Unlisted",
    "UsedUp",
    "Verdict",
    "clean",
    "connect",
    "stream",
]
