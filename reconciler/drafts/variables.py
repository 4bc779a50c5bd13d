"""Put variables in the place of values that a spec should not show.

Each variable has one value. Its name is the value's own, unless that name has another value already, or is one that a
shell or this tool gives a meaning of its own.
"""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from reconciler.drafts.nodes import Template
from reconciler.drafts.secret_values import looks_secret
from reconciler.model.concealment import is_token_variable

_OF_OTHERS: Final = re.compile(
    r"(?:RECONCILER|FLY|GITHUB|ACTIONS|CI)_\w*|CI|PATH|HOME|PWD|OLDPWD|SHELL|USER|LOGNAME|TERM|LANG|NO_COLOR|SSH_\w+"
    r"|XAUTHORITY"
)
_AS_THEY_ARE: Final = frozenset({"image", "guest_path", "volume"})  # members that are never secret, or no text


class Variables:
    """The variables of a draft, and their values, which are secret.

    With `shows_all` no value is left out, and with `shows_files` no content of a file that does not look secret. A text
    that `is_own_token` finds a token of this tool in is always left out.
    """

    def __init__(
        self,
        *,
        shows_all: bool = False,
        shows_files: bool = False,
        is_own_token: Callable[[str], bool] = lambda _text: False,
    ) -> None:
        self._is_own_token = is_own_token
        self._shows_all = shows_all
        self._shows_files = shows_files
        self._values: dict[str, str] = {}

    @property
    def values(self) -> Mapping[str, str]:
        """Return the value of each variable, in the order of their first use."""
        return self._values

    def instead_of(self, value: str, *, name: str = "", owner: str, place: str = "") -> str | Template:
        """Return the value, or a variable if it looks secret.

        `name` is what it is called, of which the variable gets its name; without one `place` says where it stands.
        `owner` is what has it, such as a pool.
        """
        if not self._is_own_token(value) and (self._shows_all or not looks_secret(name, value)):
            return value
        return self._left_out(value, name or f"{owner}_{place}".upper(), owner)

    def instead_of_content(self, content: str, *, path: object, owner: str) -> str | Template:
        """Return the content of a file, which is in base64, or a variable for it."""
        text = _decoded(content)
        is_shown = self._shows_all or (self._shows_files and not looks_secret("", text))
        if is_shown and not (self._is_own_token(content) or self._is_own_token(text)):
            return content
        return self._left_out(content, f"FILE_{_words(str(path or ''))}", owner)

    def _left_out(self, value: str, name: str, owner: str) -> Template:
        return Template(f"${{{self._named(_as_name(name), value, owner)}}}")

    def _named(self, name: str, value: str, owner: str) -> str:
        longer = f"{_as_name(owner).upper()}_{name}"
        names = [longer] if is_token_variable(name) or _OF_OTHERS.fullmatch(name) else [name, longer]
        names += (f"{longer}_{number}" for number in range(2, len(self._values) + 3))
        found = next(one for one in names if self._values.get(one, value) == value)
        self._values[found] = value
        return found


def without_secrets(value: Any, variables: Variables, *, owner: str, place: str = "") -> Any:
    """Return JSON with variables for what looks secret, at any depth.

    Variables of an environment, headers and metadata have names that count; so has what stands behind an option of a
    command. `place` is where it stands, in words for a variable's name.
    """
    if isinstance(value, str):
        return variables.instead_of(value, owner=owner, place=place)
    if isinstance(value, list):
        before = ["", *(one if isinstance(one, str) and one.startswith("-") else "" for one in value)]
        return [
            variables.instead_of(item, name=_words(option), owner=owner)
            if isinstance(item, str) and option and not item.startswith("-")
            else without_secrets(item, variables, owner=owner, place=place)
            for option, item in zip(before, value, strict=False)
        ]
    if not isinstance(value, dict):
        return value
    return {key: _member(value, key, variables, owner, f"{place}_{key}".strip("_")) for key in value}


def _member(value: Mapping[str, Any], key: str, variables: Variables, owner: str, place: str) -> Any:
    member, name = value[key], value.get("name")
    if key == "raw_value" and isinstance(member, str):
        return variables.instead_of_content(member, path=value.get("guest_path"), owner=owner)
    if key in {"env", "metadata"} and isinstance(member, dict):
        return {one: _named_value(text, one, variables, owner) for one, text in member.items()}
    if key == "headers" and isinstance(member, dict):
        return {one: _named_value(text, _words(one), variables, owner) for one, text in member.items()}
    if key in {"value", "values"} and isinstance(name, str):
        return _named_value(member, _words(name), variables, owner)
    if key in _AS_THEY_ARE:
        return member
    return without_secrets(member, variables, owner=owner, place=place)


def _named_value(member: Any, name: str, variables: Variables, owner: str) -> Any:
    if isinstance(member, list):
        return [_named_value(one, name, variables, owner) for one in member]
    return variables.instead_of(member, name=name, owner=owner) if isinstance(member, str) else member


def _decoded(content: str) -> str:
    """Return the text that is in base64; "" for data that is no text."""
    try:
        return base64.b64decode(content, validate=True).decode()
    except ValueError:
        return ""


def _words(text: str) -> str:
    return re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_").upper()


def _as_name(text: str) -> str:
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    return f"_{name}" if not name or name[0].isdigit() else name
