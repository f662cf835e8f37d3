"""The credential itself: what the client asks, answered from the tokens that keystoneauth signs in for."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Self

import anyio

from sdrs_async.auth import SignInCounts, SignInFailed
from sdrs_async.cloud import events
from sdrs_async.cloud.sites import without_project
from sdrs_async.credentials.keystone.cloud import Cloud
from sdrs_async.credentials.keystone.sign_in import SignIn
from sdrs_async.credentials.keystone.sources import in_files, in_variables
from sdrs_async.credentials.keystone.tokens import Token, Tokens
from sdrs_async.models import Request, Verdict
from sdrs_async.transport.threads import in_daemon_thread, room

log = logging.getLogger("sdrs_async")

_TIMEOUT = 30.0


class KeystoneAuth:
    """Signs in to IAM, one token per project, and renews each before it expires and once it is refused.

    Made by `from_cloud` or `from_env`; needs the extra `openstack`. One object may serve several runs, one after the
    other. `sign_in_timeout`: seconds for one sign-in; `sign_in` and `clock` are what it signs in with, in a thread, and
    the clock in seconds that tokens age by.
    """

    def __init__(
        self,
        cloud: Cloud,
        *,
        sign_in_timeout: float = _TIMEOUT,
        sign_in: Callable[[str, Token | None], Token] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cloud = cloud
        self._timeout = sign_in_timeout
        self._sign_in = sign_in or SignIn(cloud, sign_in_timeout)
        self._room = room()
        self.sign_ins = SignInCounts(cloud.label)
        self._tokens = Tokens(self._ask, clock)
        self.verify: bool | str = cloud.verify
        self.region: str | None = cloud.region
        self.endpoint_override: str | None = cloud.endpoint
        self.iam_endpoint: str = cloud.auth["auth_url"]
        if self.verify is False:
            text = "CERTIFICATES ARE NOT CHECKED (verify: false): anyone on the way can read and use the credential"
            log.warning("%s: %s", cloud.label, text)

    @classmethod
    def from_cloud(
        cls,
        name: str,
        *,
        region: str | None = None,
        sign_in_timeout: float = _TIMEOUT,
        allow_http: bool = False,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> Self:
        """A cloud of clouds.yaml, with what secure.yaml and clouds-public.yaml add, where openstacksdk looks for them.

        A secret that it lacks is taken from its variable, such as `OS_PASSWORD`; who signs in stands in the file. Sends
        nothing. `allow_http`: the credential may leave this machine unencrypted. `ca_file`: PEM certificates to trust,
        instead of what the cloud, the environment or the system says: to sign in with, and at the service too where
        `clean()` or `Account` name no other; theirs is for the service alone. Raises `ConfigError`, with file and
        place also for a value that YAML does not read as text.
        """
        cloud = Cloud.of(in_files(name), region, allow_http=allow_http, ca_file=ca_file)
        return cls(cloud, sign_in_timeout=sign_in_timeout)

    @classmethod
    def from_env(
        cls,
        *,
        region: str | None = None,
        sign_in_timeout: float = _TIMEOUT,
        allow_http: bool = False,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> Self:
        """The `OS_*` variables; the cloud that `OS_CLOUD` names, if it is set. A password wins over a token.

        What is empty or blank counts as not set. The arguments, and what is raised, are those of `from_cloud`.
        """
        name = os.environ.get("OS_CLOUD", "")
        source = in_files(name) if name.strip() else in_variables()
        cloud = Cloud.of(source, region, allow_http=allow_http, ca_file=ca_file)
        return cls(cloud, sign_in_timeout=sign_in_timeout)

    def __repr__(self) -> str:
        return f"KeystoneAuth({self._cloud.label})"

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """The token of a project; with an empty id that of the account. Signs in if need be; raises `SignInFailed`."""
        return (await self._tokens.get(project_id)).headers

    async def prepare(self, project_id: str) -> float:
        """Sign in to a project if need be; the seconds until that is to be done again. Raises `SignInFailed`."""
        return self._tokens.left(await self._tokens.get(project_id))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What it signs in with, and the account's own token; those of projects go out in headers only."""
        account = self._tokens.account
        return (*self._cloud.secrets, *(account.headers.values() if account is not None else ()))

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it signs in with: of certificates, and of a key."""
        return self._cloud.files

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """Always true: the next `sign` takes another token than these headers carry."""
        self._tokens.forget(project_id, headers)
        return True

    async def endpoint(self, project_id: str | None = None) -> str | None:
        """The service's URL: `sdrs_endpoint_override` of the cloud, else from the catalog of a project's token.

        `None` as project: of the scope that is configured; as result: the catalog names none. The catalog's is without
        the project id that it ends in. Raises `SignInFailed`.
        """
        if self._cloud.endpoint:
            return self._cloud.endpoint
        token = await self._tokens.get(project_id or "")
        return without_project(token.endpoint, token.project_id) if token.endpoint else None

    async def _ask(self, project_id: str, base: Token | None) -> Token:
        self.sign_ins.ask()
        try:
            # The time-out of a single read, which keystoneauth keeps, is no limit to a server that trickles.
            with anyio.fail_after(self._timeout):
                token = await in_daemon_thread(self._room, self._sign_in, project_id, base)
        except TimeoutError:
            text = f"{self._cloud.label}: no token from {self.iam_endpoint} within {self._timeout:g} s"
            failure = SignInFailed(text, verdict=Verdict.UNREACHABLE, timed_out=True)
        except SignInFailed as error:
            failure = error
        else:
            events.signed_in(project_id, self.sign_ins.account, token.life)
            return token
        self.sign_ins.fail(failure.reply.verdict)
        events.sign_in_failed(project_id, self.sign_ins.account, failure.reply)
        raise failure
