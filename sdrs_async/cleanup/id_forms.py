"""The forms of the service's ids, and what an id that has another one looks like.

An id that no group has is answered with 404, as one whose group is gone: what was mistyped would count as clean. So it
is refused before. It is never mended: what somebody meant by it is not known.
"""

from __future__ import annotations

import re

from sdrs_async.cloud.calls import check_target
from sdrs_async.errors import ConfigError
from sdrs_async.formats.wording import many
from sdrs_async.models import ProjectLevel, Target

GROUP_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PROJECT = re.compile(r"[0-9a-z]{1,32}")
_USUAL_PROJECT = re.compile(r"[0-9a-f]{32}")
_LIKE_GROUP = re.compile(r"[^\W_]{8}(-[^\W_]{4}){3}-[^\W_]{12}")
_NONE = re.compile(r"none|null|nil|nan|undefined|n/?a|-+|#\w+[!?/]?\w*", re.IGNORECASE)
_NUMBER = re.compile(r"-?[0-9]([.,][0-9]+)?[Ee]\+[0-9]+")
_DASHES = re.compile(r"[\u00ad\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_QUOTES = "'\"`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2032\u2033\u2039\u203a\u00ab\u00bb\uff02\uff07"
_HELD = {
    "there are quotes in it": _QUOTES,
    "there are brackets or braces in it": "{}[]()<>",
    "there are blanks in it": " ",
    "it looks like a URL, URN or path": "/\\:%?#",
    "there is a separator in it": ",;|",
}
"""Characters of what stands around an id where it was copied, by what that looks like."""
_NAME = {"project_id": "project", "server_group_id": "protection group"}
_FORM = {
    "project_id": "1 to 32 digits and lower-case letters",
    "server_group_id": "like decf224d-87fe-403a-8721-037a1a45c287, in lower-case letters",
}
_ANY = "--any-ids takes ids of other forms"


def check_form(target: Target | ProjectLevel) -> Target | ProjectLevel:
    """The target unchanged, or `ConfigError` naming the id that is not of the service's form, and what it looks like.

    Also what `check_target` refuses.
    """
    ids = {"project_id": target.project_id}
    if isinstance(target, Target):
        ids["server_group_id"] = target.server_group_id
        if GROUP_ID.fullmatch(target.project_id) and _is_project(target.server_group_id):
            raise ConfigError(
                f"project_id {target.project_id!r} is refused: it looks like the id of a protection group, and "
                f"server_group_id {target.server_group_id!r} like that of a project: the two are swapped"
            )
    for name, value in ids.items():
        if not (_is_project(value) if name == "project_id" else GROUP_ID.fullmatch(value)):
            raise ConfigError(_refusal(name, value, target))
    return check_target(target)


def is_usual_project(project_id: str) -> bool:
    """Whether an id has the form of all that are known; the manual allows more, so that others are no error."""
    return _USUAL_PROJECT.fullmatch(project_id) is not None


def _is_project(value: str) -> bool:
    return _PROJECT.fullmatch(value) is not None and _NONE.fullmatch(value) is None


def _refusal(name: str, value: str, target: Target | ProjectLevel) -> str:
    hint = _hint(name, value)
    try:
        check_target(target)
    except ConfigError as error:
        # It says more of what cannot be sent at all; where another id of the target is to blame, its turn has come.
        if str(error).startswith(name):
            return f"{error}; {hint}" if hint else str(error)
    shown = ascii(value) if len(ascii(value)) <= 80 else f"{ascii(value)[:77]}..."
    return f"{name} {shown} is refused: {hint or f'it has not the form of such ids, {_FORM[name]} ({_ANY})'}"


def _hint(name: str, value: str) -> str | None:
    """What the value looks like, where that can be told."""
    if not value or not value.isprintable():
        return None
    if _NONE.fullmatch(value):
        return "it says that there is no id"
    if _NUMBER.fullmatch(value):
        return (
            "it looks like a number that a spreadsheet has rounded: its digits are lost, so export the list anew and "
            "import that column as text"
        )
    around = ["it looks like a formula of a spreadsheet"] if value[0] in "=+@" else []
    around += [looks for looks, held in _HELD.items() if set(held) & set(value)]
    if around:
        return f"{around[0]}: the id has to stand there alone"
    if _DASHES.search(value):
        return "its dashes are typographic ones, not -"
    return _hint_of_project(value) if name == "project_id" else _hint_of_group(value)


def _hint_of_project(value: str) -> str | None:
    if GROUP_ID.fullmatch(value.lower()):
        return "it looks like the id of a protection group, or has dashes that ids of projects have not"
    if _PROJECT.fullmatch(value.lower()):
        return "it has upper-case letters, and ids of projects have none"
    if len(value) > 32:
        return f"it has {len(value)} characters, and ids of projects have 32 at most"
    return _of_letters("project_id", value)


def _hint_of_group(value: str) -> str | None:
    lower = value.lower()
    if GROUP_ID.fullmatch(lower):
        return "it has upper-case letters, and ids of protection groups have none"
    if re.fullmatch("[0-9a-f]{32}", lower):
        return "it has no dashes, as an id of a project; those of protection groups have four"
    if _LIKE_GROUP.fullmatch(lower):
        wrong = "".join(dict.fromkeys(re.sub("[0-9a-f-]", "", lower)))
        return f"it has {wrong!a:.40} where ids of protection groups have digits and letters from a to f"
    if re.fullmatch("[0-9a-f-]+", lower) and (len(value) >= 8 or value.isdecimal()):
        if len(value) == 36:
            return "its dashes are elsewhere than in ids of protection groups"
        end = "it seems to be cut off" if len(value) < 36 else "there is too much of it"
        return f"it has {many(len(value), 'character')}, and ids of protection groups have 36: {end}"
    return _of_letters("server_group_id", value)


def _of_letters(name: str, value: str) -> str | None:
    """Of what is neither an id nor a part of one."""
    if not any(char.isalpha() for char in value):
        return None
    return f"it looks like a name: give the id of the {_NAME[name]}, {_FORM[name]}"
