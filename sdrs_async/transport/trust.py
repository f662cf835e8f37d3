"""Which certificates are trusted: one decision, which every half of a run keeps to, whatever library it goes by.

docs/settings.md has the order. Left to themselves aiohttp trusts the system's store, requests the one that certifi
brings, and each reads other variables.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from sdrs_async.errors import ConfigError

# Those of OpenStack's clients, of requests, and of curl, which requests reads too.
_VARIABLES = ("OS_CACERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_STORE_FILE, _STORE_FOLDER = "SSL_CERT_FILE", "SSL_CERT_DIR"
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
# Of OpenSSL, of urllib3 1, which compares names itself, and of a server that wants the client's.
_BAD_CERTIFICATE = re.compile("(?i)certificate[ _]verify[ _]failed|CertificateError|alert [a-z ]*certificate")
_KEPT = 16  # stores; one of 150 authorities takes 0.1 s to read, and accounts usually share theirs


@dataclass(frozen=True, slots=True)
class Trust:
    """The authorities of a PEM file and of a folder, whose files have the names that OpenSSL looks for.

    `setting`: what names them, for messages; empty for the system's store. `checked`: false where anybody is trusted.
    """

    setting: str = ""
    file: str | None = None
    folder: str | None = None
    checked: bool = True

    @property
    def path(self) -> str | None:
        """What was named in the place of the system's store, `None` for that."""
        return None if self.setting in ("", _STORE_FILE, _STORE_FOLDER) else self.file

    def check(self) -> None:
        """Raise `ConfigError` with the setting and the file, if one is named that cannot be used."""
        if self.setting:
            self.context()

    def context(self) -> ssl.SSLContext:
        """What to connect with, shared by all that trust the same: not to be changed. Raises `ConfigError`."""
        return _shared(self, _stamp(self.file))

    def blocking_context(self, cert: str | tuple[str, str] | None = None, *, names: bool = True) -> ssl.SSLContext:
        """The same for urllib3's threads. `cert`: of the client, its key inside or in a second file; `names`: false
        where it is checked elsewhere that a certificate is for the host.
        """
        if cert is None and names:
            return _shared(self, _stamp(self.file), by_threads=True)
        context = _made(self, by_threads=True)
        context.check_hostname &= names
        if cert is not None:
            _load_client_certificate(context, cert)
        return context


def trusted(
    ca_file: str | os.PathLike[str] | None,
    own: bool | str = True,
    environ: Mapping[str, str] | None = None,
    *,
    own_name: str = "cacert",
) -> Trust:
    """The first of these that is given: `ca_file`, the credential's `own` (a file or folder, or false: whoever answers
    is trusted), OS_CACERT, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, OpenSSL's variables, the system's store.

    An empty or blank text is no setting. Reads no file. `own_name`: what the user calls `own`;
    `environ`: the process's.
    """
    if ca_file:
        return Trust("--ca-file (ca_file)", os.fspath(ca_file))
    if own is False:
        return Trust(checked=False)
    if isinstance(own, str) and own:
        return Trust(own_name, own)
    given = os.environ if environ is None else environ
    for name in _VARIABLES:
        if (path := given.get(name, "")).strip():
            return Trust(name, path)
    # As OpenSSL reads them: each stands for its own part of the system's store.
    stores = {name: path for name in (_STORE_FILE, _STORE_FOLDER) if (path := given.get(name, "")).strip()}
    usual = ssl.get_default_verify_paths()
    return Trust(
        next(iter(stores), ""), stores.get(_STORE_FILE, usual.openssl_cafile),
        stores.get(_STORE_FOLDER, usual.openssl_capath),
    )  # fmt: skip


def is_bad_certificate(text: str) -> bool:
    """Whether this error of a library tells of a certificate that one side refuses, which no other try mends."""
    return _BAD_CERTIFICATE.search(text) is not None


def check_client_certificate(cert: str | tuple[str, str]) -> None:
    """Raise `ConfigError` unless there are a certificate in this file, and its key there or in the second one."""
    _load_client_certificate(_unchecked(), cert)


def _stamp(path: str | None) -> object:
    """What tells a file from the one that it was before."""
    try:
        found = os.stat(path or "")
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


@lru_cache(_KEPT)
def _shared(trust: Trust, stamp: object, *, by_threads: bool = False) -> ssl.SSLContext:
    return _made(trust, by_threads=by_threads)


def _made(trust: Trust, *, by_threads: bool) -> ssl.SSLContext:
    context = _loaded(trust) if trust.checked else _unchecked()
    # Whoever is named is trusted, an authority below another or a server itself too; from 3.13 on it is Python's way.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if by_threads:
        context.set_alpn_protocols(["http/1.1"])
        # urllib3 says so again for each connection, while OpenSSL reads it in other threads, which nothing guards.
        context.set_alpn_protocols = lambda alpn_protocols: None  # type: ignore[method-assign]
    return context


def _unchecked() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _loaded(trust: Trust) -> ssl.SSLContext:
    if trust.path is not None and os.path.isdir(trust.path):
        if not _holds_certificates(trust.path):
            raise _unusable(trust, trust.path, "no file in this folder has a name as `openssl rehash` gives it")
        return _of(trust, None, trust.path)
    if trust.setting == _STORE_FOLDER and not any(map(os.path.isdir, _folders(trust))):
        raise _unusable(trust, trust.folder, "there is no such folder")
    if trust.setting in ("", _STORE_FOLDER):
        return _store(trust)
    return _of(trust, trust.file, trust.folder)


def _of(trust: Trust, file: str | None, folder: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=file, capath=folder or None)
        if file is None or context.cert_store_stats()["x509"]:
            return context
        reason = "it holds no certificate"
    except ssl.SSLError:
        reason = "it holds no certificate in PEM form, or one that is damaged"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    raise _unusable(trust, file, reason)


def _unusable(trust: Trust, path: str | None, reason: str) -> ConfigError:
    kind = "folder" if trust.setting == _STORE_FOLDER else "file"
    return ConfigError(f"the CA {kind} {path!r} that {trust.setting or 'the system'} names cannot be used: {reason}")


def _store(trust: Trust) -> ssl.SSLContext:
    """OpenSSL's store, or certifi's where there is none, as in a container without the package ca-certificates."""
    if os.name == "nt":  # whose store has neither file nor folder
        return ssl.create_default_context()
    file = trust.file if trust.file and os.path.isfile(trust.file) and os.path.getsize(trust.file) else None
    if file is None and not any(map(_holds_certificates, _folders(trust))):
        file = _certifi()
    return _of(trust, file, trust.folder)


def _folders(trust: Trust) -> list[str]:
    return (trust.folder or "").split(os.pathsep)


def _holds_certificates(folder: str) -> bool:
    try:
        return any(map(_HASHED.fullmatch, os.listdir(folder or os.devnull)))
    except OSError:
        return False


def _certifi() -> str:
    try:
        import certifi
    except ImportError:
        raise ConfigError(
            "this system has no certificates of authorities, so that no server can be trusted: install its package "
            "ca-certificates, or the Python package certifi, or name a file of certificates with --ca-file"
        ) from None
    return certifi.where()


def _load_client_certificate(context: ssl.SSLContext, cert: str | tuple[str, str]) -> None:
    file, key = (cert, None) if isinstance(cert, str) else cert

    def password() -> str:  # without this OpenSSL would ask at the terminal
        raise ConfigError(f"the key of the client certificate {file!r} is encrypted: name one that is not (key)")

    try:
        context.load_cert_chain(file, key, password)
    except ssl.SSLError:
        no_pair = f"it is no certificate in PEM form, or {key!r} is not its key"
        reason = no_pair if key else "no certificate with its key"
    except (OSError, ValueError) as error:
        missing = next((one for one in (file, key) if one and not os.path.exists(one)), file)
        reason = f"{missing!r}: {getattr(error, 'strerror', None) or error}"
    else:
        return
    raise ConfigError(f"the client certificate {file!r} cannot be used: {reason}")
