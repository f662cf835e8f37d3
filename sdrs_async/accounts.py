"""An account: one credential, where it is used, and how fast."""

from __future__ import annotations

from dataclasses import dataclass, field

from sdrs_async.auth import Auth
from sdrs_async.errors import ConfigError
from sdrs_async.models import Limits

__all__ = ["Account"]


@dataclass(frozen=True, slots=True)
class Account:
    """One credential at one endpoint of the service.

    `name`: what messages and reports call it; `endpoint`: the service's URL; `iam_endpoint`: where its projects are
    listed; `region`: its endpoint's, so that projects of other regions are left out; `limits`: its own rates and its
    requests per project, the requests at a time in all are the session's; `ca_file` and `allow_http` as for `clean()`.
    `weight`: turns of each of its projects for one of another account's, where they share a limit; 1 to 100.
    """

    name: str
    endpoint: str
    auth: Auth
    iam_endpoint: str | None = None
    region: str | None = None
    limits: Limits = field(default_factory=Limits)
    ca_file: str | None = None
    allow_http: bool = False
    weight: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.weight, int) or not 1 <= self.weight <= 100:
            raise ConfigError(f"the weight of account {self.name} is a whole number from 1 to 100, not {self.weight!r}")
