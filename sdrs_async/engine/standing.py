"""What replies tell of a credential: whether it is good, and whom a refusal stops."""

from __future__ import annotations

from sdrs_async.engine.users import User
from sdrs_async.models import Reply, Verdict

__all__ = ["SIGNED_IN", "is_of_all", "note", "stopped_with"]

SIGNED_IN = frozenset(
    {Verdict.DELETED, Verdict.READ, Verdict.GONE, Verdict.REJECTED, Verdict.FORBIDDEN, Verdict.CONFLICT}
)
"""These answers come from behind the sign-in: the credential was accepted."""

# Of those, the ones that no wrong address can give.
_PROOF = frozenset({Verdict.DELETED, Verdict.READ, Verdict.FORBIDDEN})
# The gateway locks a key after more than five refusals in a row (vendor's FAQ on signing). While no answer has told
# whether it is good, so many requests are out at most: with the one that got no answer they stay below that.
_UNPROVEN = 4


def note(user: User, reply: Reply) -> None:
    """Count what the first replies tell of a credential."""
    if reply.verdict in _PROOF or _is_of_sdrs(reply):
        user.prove()
        return
    user.signed_in = user.signed_in or reply.verdict in SIGNED_IN
    if user.key is not None:
        user.key.cap = max(user.key.cap, _UNPROVEN)


def is_of_all(user: User, reply: Reply) -> bool:
    """Whether a refusal is one of the whole account, not of the project alone."""
    return reply.whole_account or (user.key is not None and not _is_of_sdrs(reply))


def stopped_with(user: User) -> set[User]:
    """Whom the refusal of a user's credential stops: all that sign with its key, where each would cost a refusal.

    Not those whom the same key was let in for, unless it was for this user too: then it is not good any more.
    """
    others = user.key.users if user.key is not None else []
    return {user, *(other for other in others if user.signed_in or not other.signed_in)}


def _is_of_sdrs(reply: Reply) -> bool:
    """Whether the service itself said it, to which the gateway lets nobody through who has not signed in."""
    return reply.error_code is not None and reply.error_code.upper().startswith("SDRS.")
