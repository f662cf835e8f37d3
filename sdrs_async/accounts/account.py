"""An account: one credential, where it is used, and how fast."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from types import NoneType

from sdrs_async.auth import Auth
from sdrs_async.errors import check, check_types, is_whole
from sdrs_async.limits import Limits

__all__ = ["Account"]

_AUTH = "a credential (StaticToken(...), AkSk(...), KeystoneAuth.from_cloud(...), or what has sign and invalidate)"


@dataclass(frozen=True, slots=True)
class Account:
    """One credential at one endpoint of the service.

    `name`: what messages and reports call it, not empty in a session; `endpoint`: the service's
    URL; `iam_endpoint`: where its projects are listed; `region`: its endpoint's, so that projects of other regions are
    left out; `limits`: its own rates and its requests per project, the requests at a time in all are the session's;
    `ca_file` and `allow_http` as for `clean()`. `weight`: turns of each of its projects for one of another account's,
    where they share a limit; 1 to 100. Raises `ConfigError` for what is none of these.
    """

    name: str
    endpoint: str
    auth: Auth = field(repr=False, hash=False)  # anybody's: what it shows may be secret, it may have no hash
    iam_endpoint: str | None = None
    region: str | None = None
    limits: Limits = field(default_factory=Limits)
    ca_file: str | None = None
    allow_http: bool = False
    weight: int = 1

    def __post_init__(self) -> None:
        check(isinstance(self.name, str), "the name of an account", "text", self.name)
        check(_signs(self.auth), "auth", _AUTH, self.auth, secret=True)
        check(isinstance(self.endpoint, str), "endpoint", "text", self.endpoint, secret=True)
        iam = self.iam_endpoint
        check(iam is None or isinstance(iam, str), "iam_endpoint", "text or None", iam, secret=True)
        check_types(self, region=(str, NoneType), ca_file=(str, os.PathLike, NoneType), allow_http=(bool,))
        check(isinstance(self.limits, Limits), "limits", "a Limits", self.limits)
        check(
            is_whole(self.weight, most=100), f"the weight of account {self.name}", "a whole number from 1 to 100",
            self.weight,
        )  # fmt: skip


def _signs(auth: object) -> bool:
    methods = (getattr(auth, name, None) for name in ("sign", "invalidate"))
    return not isinstance(auth, type) and all(callable(method) for method in methods)
