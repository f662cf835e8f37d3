"""One sign-in by keystoneauth, which blocks, and what its failures mean."""

from __future__ import annotations

import warnings
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sdrs_async.auth import SignInFailed
from sdrs_async.cloud.answers import one_line, parse_error, parse_retry_after, web_page
from sdrs_async.cloud.verdicts import classify
from sdrs_async.credentials.keys import can_be_sent
from sdrs_async.credentials.keystone.methods import plugin
from sdrs_async.credentials.keystone.tokens import HEADER, Token
from sdrs_async.models import Verdict
from sdrs_async.transport.redaction import Secrets, without_user_info
from sdrs_async.transport.trust import is_bad_certificate, trusted

if TYPE_CHECKING:
    from keystoneauth1.access import AccessInfo
    from keystoneauth1.identity.base import BaseIdentityPlugin
    from keystoneauth1.session import Session
    from requests import Response

    from sdrs_async.credentials.keystone.cloud import Cloud

_STRANGE = "what it answers is not what an identity service says"

_SCOPE = {
    *("project_id", "project_name", "project_domain_id", "project_domain_name", "domain_id", "domain_name"),
    *("tenant_id", "tenant_name", "system_scope"),
}
# The credential itself belongs to one project, and IAM gives no token for another.
_FIXED = {"v3applicationcredential", "v3oauth1", "v3oauth2clientcredential", "v3oauth2mtlsclientcredential"}
# A code or a visit to a browser is good for one sign-in: the account's token is then exchanged for those of projects.
_ONCE = {"v3totp", "v3multifactor", "v3oidcauthcode", "v3oidcdeviceauthz", "v3websso"}
# These log what a server answered, which may be what it was sent.
_TALKATIVE = ("keystoneauth.identity.v3.base", "keystoneauth.identity.v3.oidc", "keystoneauth.session")


class SignIn:
    """Signs in to a project of a cloud, or with an empty id to what is configured. Blocks; may be called by threads.

    `timeout`: seconds for the connection and for each read.
    """

    def __init__(self, cloud: Cloud, timeout: float) -> None:
        self._cloud = cloud
        self._session = _session(cloud, timeout)

    def __call__(self, project_id: str, base: Token | None) -> Token:
        """A new token, of the project that it is asked for; `base`: that of the account, for a project's.

        Raises `SignInFailed`.
        """
        from sdrs_async.transport.blocking_http import proxy_secrets, redacting

        if base is not None and self._has_fixed_scope() and base.project_id != project_id:
            raise SignInFailed(
                f"{self._cloud.label}: this credential is for project {base.project_id} only, not for {project_id}"
            )
        secrets = Secrets((*self._cloud.secrets, *(base.headers.values() if base else ()), *proxy_secrets()))
        with redacting(secrets.struck):
            result = self._try(project_id, base, secrets)
        if isinstance(result, SignInFailed):
            raise result
        return result

    def _try(self, project_id: str, base: Token | None, secrets: Secrets) -> Token | SignInFailed:
        """A failure is returned, not raised, so that it leads to no request, and to no token that was in hand."""
        from keystoneauth1.exceptions import ClientException

        cloud = self._cloud
        try:
            access = self._plugin(project_id, base).get_access(self._session)
            return _wrong_scope(access, cloud, project_id, secrets) or _token(access, cloud)
        except ClientException as error:
            return _failure(error, cloud, project_id, secrets)
        except OSError as error:  # a file that is needed, such as that of the certificates
            return SignInFailed(f"{cloud.label}: {secrets.struck(one_line(str(error)))}", verdict=Verdict.UNREACHABLE)
        except (AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            return _no_token(cloud, _STRANGE)

    def _has_fixed_scope(self) -> bool:
        return self._cloud.kind in _FIXED or "trust_id" in self._cloud.auth

    def _plugin(self, project_id: str, base: Token | None) -> BaseIdentityPlugin:
        kind, auth = self._cloud.kind, dict(self._cloud.auth)
        if project_id and base is not None and not self._has_fixed_scope():
            if kind in _ONCE:
                kind, auth = "v3token", {"auth_url": auth["auth_url"], "token": base.headers[HEADER]}
            auth = _scoped(auth, project_id)
        return plugin(kind, auth)


def _scoped(auth: dict[str, Any], project_id: str) -> dict[str, Any]:
    """The same sign-in for another project. An agency has a target of its own; its user's scope stays."""
    if "target_agency_name" in auth:
        rest = {key: value for key, value in auth.items() if key != "target_project_name"}
        return {**rest, "target_project_id": project_id}
    return {**{key: value for key, value in auth.items() if key not in _SCOPE}, "project_id": project_id}


def _session(cloud: Cloud, timeout: float) -> Session:
    from keystoneauth1.session import Session
    from urllib3.exceptions import InsecureRequestWarning

    from sdrs_async.transport.blocking_http import guard, redact_logs

    # A redirect would take the password to another host. Federated sign-ins consist of redirects, but for OpenID's.
    is_redirected = "identity_provider" in cloud.auth and not cloud.kind.startswith("v3oidc")
    session = Session(timeout=timeout, user_agent="sdrs-async", redirect=30 if is_redirected else False)
    trust = trusted(None, cloud.verify)
    guard(session.session, trust, cloud.cert)
    # Sign-ins come hours apart, and nobody closes this: an idle connection would be kept till the end, and found dead.
    session.session.headers["Connection"] = "close"
    redact_logs(*_TALKATIVE)
    if not trust.checked:  # said once, and loudly, instead of with each request
        warnings.filterwarnings("ignore", category=InsecureRequestWarning)
    return session


# ---- what came back -------------------------------------------------------------------------------------------------


def _wrong_scope(access: AccessInfo, cloud: Cloud, project_id: str, secrets: Secrets) -> SignInFailed | None:
    """IAM's word for which project a token is, where it is not the one that was asked for: it must not be sent.

    The account's own token is asked for whatever scope is configured, a domain's or none among them, and deletes
    nothing: it lists projects and is exchanged for tokens of these. Only a project that is configured by its id is
    compared there too; by its name IAM finds it however its letters are written.
    """
    # An agency's own user has a project of no matter.
    configured = cloud.auth.get("target_project_id" if "target_agency_name" in cloud.auth else "project_id")
    wanted = project_id or configured
    found = access.project_id
    if not wanted or found == wanted:
        return None
    what = f"project {secrets.struck(one_line(str(found)))}" if found else "no project (of a domain, or of nothing)"
    text = f"asked for a token of project {wanted}, {cloud.auth['auth_url']} gave one of {what}"
    return SignInFailed(f"{cloud.label}: {text}, which is not used", whole_account=not project_id)


def _token(access: AccessInfo, cloud: Cloud) -> Token | SignInFailed:
    value = access.auth_token
    if not can_be_sent(value):
        return _no_token(cloud, _STRANGE)
    life = _life(access)
    if life <= 0:
        return _no_token(cloud, "it had expired already when it was issued: is the clock right?")
    catalog = access.service_catalog if access.has_service_catalog() else None
    urls = catalog.get_urls("sdrs", cloud.interface, cloud.region) if catalog is not None else ()
    return Token({HEADER: value}, life, access.project_id, next(filter(None, urls), None))


def _life(access: AccessInfo) -> float:
    """Seconds from its issue to its end, both by the server's clock, so that ours may be wrong."""
    expires = _moment(access, "expires")
    if expires is None:
        return float("inf")
    return (expires - (_moment(access, "issued") or datetime.now(UTC))).total_seconds()


def _moment(access: AccessInfo, name: str) -> datetime | None:
    with suppress(KeyError):
        found: datetime | None = getattr(access, name)
        return found
    return None


def _no_token(cloud: Cloud, reason: str, verdict: Verdict = Verdict.TRANSIENT, **known: Any) -> SignInFailed:
    return SignInFailed(f"{cloud.label}: no token from {cloud.auth['auth_url']}: {reason}", verdict=verdict, **known)


def _failure(error: Exception, cloud: Cloud, project_id: str, secrets: Secrets) -> SignInFailed:
    from keystoneauth1 import exceptions

    from sdrs_async.transport.blocking_http import AnswerRefused, SettingRefused

    if isinstance(error, exceptions.MissingAuthMethods):
        asked = secrets.struck(one_line(", or ".join("+".join(methods) for methods in error.required_auth_methods)))
        text = f"it asks for several proofs at once ({asked}): set auth_type to v3multifactor"
        return _no_token(cloud, text, Verdict.UNAUTHORIZED, whole_account=not project_id)
    if isinstance(refused := getattr(error, "original", None), AnswerRefused):
        return _no_token(cloud, str(refused))
    response: Response | None = getattr(error, "response", None)
    if response is not None:
        return _refusal(response, cloud, project_id, secrets)
    is_setting = isinstance(refused, SettingRefused)
    text = secrets.struck(one_line(without_user_info(str(refused if is_setting else error))))
    if is_setting or not isinstance(error, exceptions.ConnectionError):
        return SignInFailed(f"{cloud.label}: {text}", whole_account=not project_id)
    return SignInFailed(
        f"{cloud.label}: {text}", verdict=Verdict.UNREACHABLE, timed_out=isinstance(error, exceptions.ConnectTimeout),
        retryable=not is_bad_certificate(text),
    )  # fmt: skip


def _refusal(response: Response, cloud: Cloud, project_id: str, secrets: Secrets) -> SignInFailed:
    if response.status_code < 300:
        page = web_page(response.headers.get("Content-Type", ""), response.content)
        return _no_token(cloud, secrets.struck(page or _STRANGE))
    said = parse_error(response.content)
    verdict = classify(response.status_code, said.code)
    text = f"{response.status_code} {secrets.struck(said.message or one_line(response.reason or ''))}".rstrip(". ")
    if response.is_redirect:
        text = f"{response.status_code}, a redirect, which is not followed"
    place = f"project {project_id}" if project_id else cloud.auth["auth_url"]
    message = f"{cloud.label}: no token for {place}: {text}"
    # One without a dot repeats the status.
    code = said.code if said.code and "." in said.code else None
    if verdict in (Verdict.THROTTLED, Verdict.TRANSIENT):
        wait = parse_retry_after(response.headers.get("Retry-After"))
        return SignInFailed(message, verdict=verdict, retry_after=wait, error_code=code)
    if project_id:
        return SignInFailed(message, error_code=code)
    remedy = _remedy(cloud, response.status_code)
    return SignInFailed(f"{message}. {remedy}", whole_account=True, error_code=code)


def _remedy(cloud: Cloud, status: int) -> str:
    """IAM answers alike to a wrong password and to a project that is not the user's."""
    causes = ["auth_url is not that of IAM, or it does not know this sign-in method"]
    if status in (401, 403):
        causes = ["the user, its domain, or the password or key is wrong"]
    scopes = ("project_name", "project_id", "domain_name", "domain_id")
    causes += [
        f"the user has no access to the configured {key} {cloud.auth[key]!r}" for key in scopes if key in cloud.auth
    ]
    return f"Perhaps {', or '.join(causes)}. It is not tried again: accounts lock"
