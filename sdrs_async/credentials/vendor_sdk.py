"""Keys from all that the vendor's SDK (huaweicloudsdkcore) signs in with, and from its credentials file."""

from __future__ import annotations

import calendar
import configparser
import logging
import math
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import anyio

from sdrs_async.auth import SignInCounts, SignInFailed
from sdrs_async.cloud import events
from sdrs_async.cloud.answers import one_line
from sdrs_async.cloud.verdicts import classify
from sdrs_async.credentials.keys import AkSk, WrittenKeys
from sdrs_async.credentials.shared_work import SharedWork
from sdrs_async.errors import ConfigError
from sdrs_async.models import Request, Verdict
from sdrs_async.transport.redaction import Secrets, hidden_of_key, without_user_info
from sdrs_async.transport.threads import in_daemon_thread, room
from sdrs_async.transport.trust import Trust, is_bad_certificate, trusted

log = logging.getLogger("sdrs_async")

# All in seconds. The SDK gets new keys only in the last 40 minutes of the old ones: a little later it surely does.
_RENEWED_AT = 40 * 60 - 5
_AGAIN = 30.0  # until the next try, where keys that are still good could not be renewed
_SECRET = re.compile(r"[\w+/=.-]{40,}", re.ASCII)  # keys, signatures and tokens, echoed; ids are shorter
_STRUCK = "***"
_HELD = ("_id_token", "_token")  # of what the SDK signs in with
_CODE = re.compile(r"[A-Za-z]{2,16}\.\w{1,32}", re.ASCII)
_SECTION = "basic"
_NAMES = ("ak", "sk", "security_token")
_LEAST = 60.0  # for which keys have to be good to be used at all


class VendorCredentials(Protocol):
    """What counts of the SDK's `BasicCredentials`; `process_sts` gets temporary keys where they come to their end."""

    ak: Any
    sk: Any
    security_token: Any
    iam_endpoint: Any

    def process_sts(self, http_client: Any) -> object:
        """Get new keys if these are temporary and about to expire."""


class _Held(NamedTuple):
    """What the SDK gave. `expires_at`, and `renew_at`, when it is asked for more: seconds since the epoch."""

    credentials: VendorCredentials
    keys: AkSk
    expires_at: float
    renew_at: float = -math.inf


class HuaweiAuth:
    """Any credentials of the vendor's SDK, or a function that gets them; temporary keys are renewed in time.

    The SDK signs in by blocking calls: here in threads, at most `timeout` seconds long. `scope` and `clock` as in
    `AkSk`, `ca_file` as for `KeystoneAuth.from_cloud`. Raises `ConfigError` for such a file that cannot be used, and
    without the extra `huawei`.
    """

    one_key = True

    def __init__(
        self,
        credentials: VendorCredentials | Callable[[], VendorCredentials],
        *,
        scope: tuple[str, str] | None = None,
        timeout: float = 30.0,
        ca_file: str | os.PathLike[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        try:
            import huaweicloudsdkcore.auth.provider  # noqa: F401 - only whether it is there
        except ImportError:
            raise ConfigError("the vendor's SDK is missing: pip install 'sdrs-async[huawei]'") from None
        self._trust = trusted(ca_file)
        self._trust.check()
        self.verify: bool | str = os.fspath(ca_file) if ca_file else True
        self._get: Callable[[], VendorCredentials] = credentials if callable(credentials) else lambda: credentials
        self.identity: object = getattr(credentials, "ak", None) or credentials
        self._scope = scope
        self._timeout = timeout
        self._clock = clock
        self._room = room()
        self._held: _Held | None = None
        self.sign_ins = SignInCounts("the vendor's SDK")
        self._renewal = SharedWork(self._renew)
        self.secrets = Secrets()

    @classmethod
    def from_chain(cls, *, scope: tuple[str, str] | None = None, ca_file: str | os.PathLike[str] | None = None) -> Self:
        """What the SDK finds at the first sign-in: OIDC, environment, credentials file, ECS metadata, pod identity, in
        this order. Raises `ConfigError` as `HuaweiAuth` does.
        """
        return cls(_from_chain, scope=scope, ca_file=ca_file)

    def __repr__(self) -> str:
        return "HuaweiAuth(***)"

    @property
    def iam_endpoint(self) -> str | None:
        """Where the keys are known, if the SDK's credentials say so; `None` before the first sign-in."""
        return self._held.keys.iam_endpoint if self._held is not None else None

    async def prepare(self, project_id: str) -> float:
        """Get keys, the same for all projects, or new ones in time; the seconds until this is needed again.

        Raises `SignInFailed`, but not while the old keys are good.
        """
        while self._held is None or self._clock() >= self._held.renew_at:
            if not self._renewal.can_be_joined:
                self._renewal = SharedWork(self._renew)
            await self._renewal.result()
        return self._held.renew_at - self._clock()

    async def _renew(self) -> None:
        self.sign_ins.ask()
        result = await self._sign_in()
        if isinstance(result, _Held):
            events.signed_in("", self.sign_ins.account, result.expires_at - self._clock())
        else:
            events.sign_in_failed("", self.sign_ins.account, result.reply)
        if (failure := self._failure_of(result)) is not None:
            self.sign_ins.fail(failure.reply.verdict)
            raise failure

    async def sign(self, request: Request, project_id: str) -> Mapping[str, str]:
        """As `AkSk` does, with the keys of the last sign-in."""
        while self._held is None:
            await self.prepare(project_id)
        return await self._held.keys.sign(request, project_id)

    def invalidate(self, project_id: str, headers: Mapping[str, str]) -> bool:
        """Always false: the same key would be refused again, and locked after a few times."""
        return False

    async def _sign_in(self) -> _Held | SignInFailed:
        """A failure is returned, not raised, so that no traceback leads to what the SDK had in hand."""
        from huaweicloudsdkcore.exceptions.exceptions import SdkException

        # An answer that the SDK does not expect ends in whatever Python raises there.
        unexpected = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
        try:
            with anyio.fail_after(self._timeout):
                held = await in_daemon_thread(self._room, self._read)
        except TimeoutError:
            text = f"the vendor's SDK got no keys within {self._timeout:g} s"
            return SignInFailed(text, verdict=Verdict.UNREACHABLE, timed_out=True)
        except (SdkException, ConfigError, configparser.Error, OSError, *unexpected) as error:
            return _failed(error, self.secrets)
        if held.expires_at - self._clock() > _LEAST:
            return held
        return _sign_in_failed(
            "those that it gave have expired, or will at once: is this machine's clock right?", Verdict.TRANSIENT
        )

    def _read(self) -> _Held:
        """Let the SDK sign in if it has to. Blocks as long as its own time-outs allow."""
        from sdrs_async.transport.blocking_http import redacting

        client = _http_client(self._timeout, self._trust)
        try:
            with redacting(lambda text: _SECRET.sub(_STRUCK, self.secrets.struck(text))):
                credentials = self._held.credentials if self._held is not None else self._get()
                self.secrets = _secrets_of(credentials)
                try:
                    credentials.process_sts(client)
                finally:
                    self.secrets = _secrets_of(credentials)
        finally:
            client.close()
        keys = AkSk(
            credentials.ak, credentials.sk, credentials.security_token or None,
            scope=self._scope, iam_endpoint=credentials.iam_endpoint, clock=self._clock,
        )  # fmt: skip
        return _Held(credentials, keys, _expires_at(credentials))

    def _failure_of(self, result: _Held | SignInFailed) -> SignInFailed | None:
        """Hold the keys that were got; a failure is one only once the old ones are over."""
        now = self._clock()
        if isinstance(result, _Held):
            renew_at = max(result.expires_at - _RENEWED_AT, (now + result.expires_at) / 2)
            self._held = result._replace(renew_at=renew_at)
        elif self._held is not None and self._held.expires_at - now > _LEAST:
            log.warning("keys not renewed, the old ones hold until %.0f: %s", self._held.expires_at, result)
            refused = result.reply.verdict is Verdict.UNAUTHORIZED  # which locks the key, if it is repeated
            self._held = self._held._replace(renew_at=self._held.expires_at - _LEAST if refused else now + _AGAIN)
        else:
            return result
        return None


def _from_chain() -> VendorCredentials:
    """What the SDK finds. As a function it is also the identity of these keys: one for the whole process."""
    from huaweicloudsdkcore.auth.provider import CredentialProviderChain

    found: VendorCredentials = CredentialProviderChain.get_basic_credential_provider_chain().get_credentials()
    return found


def _http_client(timeout: float, trust: Trust) -> Any:
    """The SDK's own client, for the sign-ins that need one; it opens nothing before its first request.

    Those by ECS metadata and pod identity, addresses of the machine itself, make requests of their own, which nothing
    reaches: these are neither bounded in size nor shut down, and go by requests' own reading of the environment.
    """
    from huaweicloudsdkcore.exceptions.exception_handler import DefaultExceptionHandler
    from huaweicloudsdkcore.http.http_client import HttpClient
    from huaweicloudsdkcore.http.http_config import HttpConfig

    from sdrs_async.transport.blocking_http import guard

    silent = logging.Logger("huaweicloudsdkcore")  # what it logs as an error, it raises too
    silent.addHandler(logging.NullHandler())
    client = HttpClient(HttpConfig(timeout=timeout), None, DefaultExceptionHandler(), silent)
    guard(client._session, trust)
    return client


def _secrets_of(credentials: Any) -> Secrets:
    """All that the SDK's credentials hold, and what they read from files to sign in with."""
    from sdrs_async.transport.blocking_http import proxy_secrets

    accessor = getattr(credentials, "sts_accessor", None)
    found = [credentials.sk, credentials.security_token, *(getattr(accessor, name, None) for name in _HELD)]
    files = [getattr(credentials, "id_token_file", None), getattr(accessor, "_file", None)]
    for file in files:
        if isinstance(file, str):
            with suppress(OSError, ValueError):
                found.append(Path(file).read_text().strip())
    if isinstance(credentials.ak, str):
        found.append(hidden_of_key(credentials.ak))
    return Secrets([text for text in (*found, *proxy_secrets()) if isinstance(text, str)])


def _expires_at(credentials: VendorCredentials) -> float:
    """Seconds since the epoch; infinite for keys that stay."""
    # The SDK names no other way, and reads the time in UTC as if it were local: back through the same door.
    stated: float | None = getattr(credentials, "_expire_at", None)
    return float(calendar.timegm(time.localtime(stated))) if stated else math.inf


def _failed(error: Exception, secrets: Secrets) -> SignInFailed:
    """What an error of the SDK means. Its text is shown where it is the SDK's own, or the network's."""
    text, verdict = _meaning(error)
    code = str(getattr(error, "error_code", None) or "")
    is_code = _CODE.fullmatch(code) is not None and secrets.struck(code) == code
    return _sign_in_failed(secrets.struck(one_line(without_user_info(text))), verdict, code if is_code else None)


def _meaning(error: Any) -> tuple[str, Verdict]:
    from huaweicloudsdkcore.exceptions import exceptions as sdk

    from sdrs_async.transport.blocking_http import SettingRefused

    if isinstance(error, sdk.ServiceResponseException):
        verdict = classify(error.status_code, str(error.error_code or ""))
        again = verdict in (Verdict.THROTTLED, Verdict.TRANSIENT)
        # A token between two steps of a sign-in is nowhere but in the SDK: all that looks like one goes.
        text = f"{error.status_code} {_SECRET.sub(_STRUCK, str(error.error_msg))}"
        return text, verdict if again else Verdict.UNAUTHORIZED
    if isinstance(error, (sdk.ConnectionException, sdk.RequestTimeoutException)):
        return str(error.error_msg), Verdict.UNREACHABLE
    if isinstance(error, (sdk.SdkException, sdk.ApiValueError, sdk.ApiTypeError, ConfigError, SettingRefused)):
        return str(getattr(error, "error_msg", error)), Verdict.UNAUTHORIZED
    if isinstance(error, configparser.Error):
        return "the credentials file is not understood", Verdict.UNAUTHORIZED
    if isinstance(error, OSError):  # of a file, or else of the library below, whose errors are of this kind
        return str(error), Verdict.UNREACHABLE if error.filename is None else Verdict.UNAUTHORIZED
    return f"an answer that it does not understand ({type(error).__name__})", Verdict.TRANSIENT


def _sign_in_failed(text: str, verdict: Verdict, code: str | None = None) -> SignInFailed:
    message = one_line(f"the vendor's SDK got no keys: {text}")
    final = verdict is Verdict.UNAUTHORIZED
    return SignInFailed(
        message, verdict=verdict, whole_account=final, error_code=code, retryable=not is_bad_certificate(text)
    )


# ---- the credentials file, which is read without the SDK


def usual_file(environ: Mapping[str, str]) -> str | Path | None:
    """The one that HUAWEICLOUD_SDK_CREDENTIALS_FILE names, else `~/.huaweicloud/credentials` if it is there."""
    if named := environ.get("HUAWEICLOUD_SDK_CREDENTIALS_FILE"):
        return named
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return path if home and (path := Path(home, ".huaweicloud", "credentials")).exists() else None


def from_file(path: str | Path) -> AkSk:
    """The keys in section `[basic]` of a credentials file. Raises `ConfigError` naming file, section and key."""
    values = _section(Path(path))
    place = f"{Path(path)}, [{_SECTION}]: "
    keys = WrittenKeys.of(values, _NAMES, place)
    if keys is None:
        raise ConfigError(f"{place}ak and sk are missing")
    keys.check([f"{place}{name}" for name in _NAMES])
    return AkSk(*keys, iam_endpoint=values.get("iam_endpoint") or None)


def _section(place: Path) -> Mapping[str, str]:
    parser = configparser.ConfigParser(interpolation=None)  # a security token may hold a percent sign
    line = None
    try:
        parser.read_string(place.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"the credentials file {place} cannot be read: {reason}") from None
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or error.errors[0][0]  # type: ignore[attr-defined] # a ParsingError's
    if line is not None:  # raised here: the error itself, and so a traceback with it, would show the line
        raise ConfigError(f"the credentials file {place} is not understood: look at line {line}")
    if not parser.has_section(_SECTION):
        raise ConfigError(f"the credentials file {place} has no section [{_SECTION}]")
    return parser[_SECTION]
