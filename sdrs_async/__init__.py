"""Delete failed SDRS tasks over many projects and protection groups, within every rate limit."""
# ruff: noqa: F405 - the star below is for type checkers and editors; tests/test_public_api.py compares the names

# The library is imported with the first of its names that is used, not with the package: the command inside the package
# can be interrupted quietly only if nothing that takes long comes before its own first line.
TYPE_CHECKING = False  # importing it from `typing` would take longer than all else here

__all__ = [
    "Account", "AkSk", "Auth", "AuthenticationError", "ConfigError", "Extent", "FailedTask", "Failure", "Finding",
    "Fleet", "Floor", "Group", "HuaweiAuth", "JournalError", "KeystoneAuth", "Learned", "Limits", "ListingError",
    "Lists", "Outcome", "Plan", "Project", "ProjectLevel", "Rate", "Report", "Request", "RetryPolicy", "Run",
    "SdrsError", "Selection", "Session", "SignInFailed", "StaticToken", "Target", "Totals", "Unlisted", "UsedUp",
    "Verdict", "clean", "connect", "load_fleet", "stream",
]  # fmt: skip

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sdrs_async.api import *  # noqa: F403 - what it holds is `__all__`
else:

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from sdrs_async import api

        for each in __all__:
            globals().setdefault(each, getattr(api, each))
        return globals()[name]

    def __dir__():
        return sorted({*globals(), *__all__})


del TYPE_CHECKING
