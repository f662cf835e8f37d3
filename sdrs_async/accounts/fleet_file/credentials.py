"""`credential` of an account: one source, by reference."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from sdrs_async.accounts.fleet_file import tables
from sdrs_async.accounts.fleet_file.places import KeyPath, Wrong
from sdrs_async.accounts.sources import Credential, HuaweiChain, HuaweiProfile, Keys, OsCloud, Token

__all__ = ["credential_of", "file_path", "one_line"]

_SOURCES = (
    '{ os_cloud = "NAME" }, { token_env = "OS_TOKEN" }, { huawei = "chain" }, { huawei_profile = "FILE" } or '
    '{ ak_sk = { access_key_env = "...", secret_key_env = "..." } }'
)
# Stricter than the shells: the name of a variable is shown, so a secret pasted in its place must not look like one.
# Keys have no underscore and mixed case, tokens are longer.
_VARIABLE = re.compile(r"(?!\d)(?:[A-Z\d_]{1,64}|(?=[^_]*_)\w{1,64})", re.ASCII)


def credential_of(written: tables.Credential | None, path: KeyPath, folder: Path) -> Credential:
    """The one source that is named. Raises `Wrong`."""
    named = [key for key in written.__struct_fields__ if getattr(written, key) is not None] if written else []
    if written is None or not named:
        raise Wrong(path, f"a source is missing: it is one of {_SOURCES}")
    if len(named) > 1:
        raise Wrong(path, f"has {' and '.join(named)}: name one source")
    path = (*path, named[0])
    if written.os_cloud is not None:
        return OsCloud(one_line(written.os_cloud, path))
    if written.token_env is not None:
        return Token(_variable(written.token_env, path))
    if written.ak_sk is not None:
        return _keys(written.ak_sk, path)
    if written.huawei_profile is not None:
        return HuaweiProfile(file_path(written.huawei_profile, path, folder))
    if written.huawei != "chain":
        raise Wrong(path, 'has to be "chain"; for a credentials file use huawei_profile')
    return HuaweiChain()


def one_line(text: str, path: KeyPath) -> str:
    """A text to show and to hand on: not empty, without control characters or blanks around it. Raises `Wrong`."""
    if not text or not text.isprintable() or text != text.strip() or len(text) > 4096:
        raise Wrong(path, "is empty, too long, or has control characters or blanks around it")
    return text


def file_path(text: str, path: KeyPath, folder: Path) -> str:
    """The path of a file, relative to the fleet file's folder; `~` is the user's own. Raises `Wrong`."""
    try:
        return str(folder / Path(one_line(text, path)).expanduser())
    except RuntimeError:
        raise Wrong(path, "begins with ~, and that user has no home folder here") from None


def _keys(written: tables.Keys, path: KeyPath) -> Keys:
    forms: dict[str, Literal["access", "credential"]] = {"access": "access", "credential": "credential"}
    form = forms.get(written.form)
    if form is None:
        raise Wrong((*path, "form"), 'has to be "access" or "credential"')
    security = written.security_token_env
    return Keys(
        _variable(written.access_key_env, (*path, "access_key_env")),
        _variable(written.secret_key_env, (*path, "secret_key_env")),
        None if security is None else _variable(security, (*path, "security_token_env")),
        form,
    )


def _variable(text: str, path: KeyPath) -> str:
    if not _VARIABLE.fullmatch(text):
        raise Wrong(path, "has to be the name of an environment variable, like OS_TOKEN; not the secret itself")
    return text
