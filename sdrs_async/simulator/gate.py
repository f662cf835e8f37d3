"""What is refused before any work: by IAM's own limit, for its credential, and by the gateway's limits."""

from __future__ import annotations

from sdrs_async.simulator.access import Access, Visitor
from sdrs_async.simulator.answers import Answer, gateway_error, iam_error, iam_throttled, throttled
from sdrs_async.simulator.limits import Limiter
from sdrs_async.simulator.log import Entry
from sdrs_async.simulator.projects import Projects
from sdrs_async.simulator.routes import IAM_ROUTES, OPEN_ROUTES, Call
from sdrs_async.simulator.signature import SignedRequest


class Gate:
    """Lets requests in or not. `limiter`: of the SDRS calls; `iam_limiter`: of the IAM calls, per source."""

    def __init__(self, access: Access, projects: Projects, limiter: Limiter, iam_limiter: Limiter) -> None:
        self._access = access
        self._projects = projects
        self._limiter = limiter
        self._iam_limiter = iam_limiter

    def refusal(self, call: Call, request: SignedRequest, entry: Entry, source: str) -> Answer | None:
        """The answer to what does not get in; `source`: the address it came from. Completes the log's entry."""
        if call.route in IAM_ROUTES:
            return self._refused_by_iam(call, request, entry, source)
        visitor = self._identify(request, entry)
        if visitor.reason is not None:
            return _unauthorized(visitor.reason, entry.request_id)
        refused = self._refused_by_scope(call, visitor, entry.request_id)
        if refused is None:
            policy = self._limiter.refuse(entry.at, call.project_id or "", entry.user or "", source)
            refused = None if policy is None else throttled(policy, entry.request_id)
        return refused

    def _refused_by_iam(self, call: Call, request: SignedRequest, entry: Entry, source: str) -> Answer | None:
        threshold = self._iam_limiter.refuse(entry.at, "", "", source)
        if threshold is not None:
            return iam_throttled(threshold)
        if call.route in OPEN_ROUTES:
            return None
        reason = self._identify(request, entry).reason
        if reason is None:
            return None
        return iam_error(401, f"The request you have made requires authentication: {reason}")

    def _identify(self, request: SignedRequest, entry: Entry) -> Visitor:
        visitor = self._access.visitor(request)
        entry.credential = visitor.credential
        entry.user = self._access.account.user if visitor.reason is None else None
        return visitor

    def _refused_by_scope(self, call: Call, visitor: Visitor, request_id: str) -> Answer | None:
        """A token of another project or region must be changed for a better one; a signature has no scope."""
        project, token = self._projects.get(call.project_id), visitor.token
        is_here = project is None or project.is_domain or project.is_here
        if token is not None and not (is_here and token.good_for(call.project_id)):
            return gateway_error(401, "0307", "The token must be updated.", request_id)
        if not is_here:
            return gateway_error(403, "0801", "The service is not available in the current region.", request_id)
        if project is not None and not project.enabled:
            return gateway_error(403, "0310", "The project is unavailable.", request_id)
        return None


def _unauthorized(reason: str, request_id: str) -> Answer:
    return gateway_error(401, "0301", f"Incorrect IAM authentication information: {reason}", request_id)
