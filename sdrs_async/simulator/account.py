"""The made-up account: everything that somebody can sign in with, and the agency that lends it to others."""

from __future__ import annotations

from typing import NamedTuple

from sdrs_async.simulator.ids import digest


class Key(NamedTuple):
    """An access key. One with a `security_token` is temporary: its requests must carry the token too."""

    access_key: str
    secret_key: str
    security_token: str | None = None


class ApplicationCredential(NamedTuple):
    """What an application signs in with; bound to one project."""

    id: str
    secret: str
    name: str


class Agency(NamedTuple):
    """What another user assumes to act for the account: its name, and the domain that delegates."""

    name: str
    domain: str
    domain_id: str


class Account(NamedTuple):
    """One user with all that it can sign in with; made up from the seed, so good for this server alone."""

    user: str
    user_id: str
    password: str
    domain: str
    domain_id: str
    key: Key
    temporary_key: Key
    application_credential: ApplicationCredential
    agency: Agency

    @classmethod
    def from_seed(cls, seed: int) -> Account:
        """The account of a server with this seed."""
        domain, domain_id = "simulated-domain", digest(seed, "domain")
        return cls(
            user="simulated-operator",
            user_id=digest(seed, "user"),
            password=f"Simulated-{digest(seed, 'password', 8)}",
            domain=domain,
            domain_id=domain_id,
            key=_key(seed, "", "0"),
            temporary_key=_key(seed, "temporary ", "1", f"Simulated{digest(seed, 'security token', 32)}"),
            application_credential=ApplicationCredential(
                digest(seed, "application credential"),
                f"Simulated{digest(seed, 'application secret')}",
                "simulated-application",
            ),
            agency=Agency("simulated-agency", domain, domain_id),
        )


def _key(seed: int, kind: str, end: str, security_token: str | None = None) -> Key:
    access_key = f"SIM{digest(seed, f'{kind}access key', 8).upper()}{end}"
    return Key(access_key, f"Simulated{digest(seed, f'{kind}secret key')}", security_token)
