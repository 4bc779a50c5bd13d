"""Spell one scalar so that it is read as the same value.

Text stands without quotes only if no version of YAML takes it for something else: `no` is false in YAML 1.1, `1:30` a
number.
"""

import math
import re
from typing import Final

from reconciler.drafts.nodes import Template
from reconciler.model.unicode import is_utf8

_FIRST: Final = r"(?:[A-Za-z_/.]|--?(?=[A-Za-z]))"
_PLAIN: Final = re.compile(_FIRST + r"[\w./@+=()~%^;'\"<>!?*&|$:#\\ -]*", re.ASCII)
_PLAIN_IN_FLOW: Final = re.compile(_FIRST + r"[\w./@+=()~%$ -]*", re.ASCII)
_MEASURE: Final = re.compile(r"([0-9]+(ms|s|m|h|mb|gb))+", re.IGNORECASE | re.ASCII)
_VARIABLE: Final = re.compile(r"[\w./-]*(:[\w./-]*)?\$\{\w+(:-[\w./-]*)?\}[\w./-]*", re.ASCII)
_MISREAD: Final = re.compile(
    r": | #|:$| $|^\.[0-9]|^\.\.\.|^(\.inf|\.nan|null|true|false|yes|no|on|off|y|n)$", re.IGNORECASE
)
_MOST_DIGITS: Final = 30  # the reader takes a longer number for text
_MUST_ESCAPE: Final = re.compile(r"\$(?=[${])")
# What a pipeline would take for a command, as in render/redact.py, if the spec is printed in its log.
_COMMAND: Final = re.compile(r"(?<!\S):(?=:[A-Za-z-])|#(?=#[a-z]*\[)")
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def spell(value: str | int | float | bool | Template | None, *, in_flow: bool) -> str:
    """Return the scalar on one line. Raises ValueError for what no spec can say."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _number(value)
        case Template():
            is_plain = not in_flow and _VARIABLE.fullmatch(value.text)
            return value.text if is_plain else _text(value.text, in_flow=in_flow)
        case str():
            return _text(escape_dollars(value), in_flow=in_flow)


def spell_key(key: str) -> str:
    """Return a key on one line. Variables are not replaced in keys."""
    return _text(key, in_flow=True)


def escape_dollars(text: str) -> str:
    """Return the text in which no variable is replaced: `${A}` becomes `$${A}`."""
    return _MUST_ESCAPE.sub("$$", text)


def literal_lines(value: str | Template) -> tuple[str, list[str]] | None:
    """Return the header and lines of a literal block, such as `|` and two lines.

    None if the text has one line only, or needs quotes. So it is with empty lines at its end: an empty line of the
    draft that follows would be one of them.
    """
    text = value.text if isinstance(value, Template) else escape_dollars(value)
    lines = text.removesuffix("\n").split("\n")
    is_odd = any(line != line.strip() and not line.strip() for line in lines) or not lines[0] or lines[0][0] in " \t"
    is_odd |= _COMMAND.search(text) is not None
    if "\n" not in text or is_odd or not lines[-1] or not all(_is_printable(line) for line in lines):
        return None
    return "|" if text.endswith("\n") else "|-", lines


def _number(value: float) -> str:
    text = repr(value)
    if not math.isfinite(value) or len(text) > _MOST_DIGITS:
        raise ValueError(f"a spec cannot say the number {text}")
    return text


def _text(text: str, *, in_flow: bool) -> str:
    if not is_utf8(text):
        raise ValueError("a spec cannot say text that is not UTF-8")
    if _COMMAND.search(text):
        return _quoted(text)
    pattern = _PLAIN_IN_FLOW if in_flow else _PLAIN
    if _MEASURE.fullmatch(text) or (pattern.fullmatch(text) and not _MISREAD.search(text)):
        return text
    if "'" not in text and ('"' in text or "\\" in text) and _is_printable(text):
        return f"'{text}'"
    return _quoted(text)


def _quoted(text: str) -> str:
    commands = {found.start() for found in _COMMAND.finditer(text)}
    spelled = (f"\\x{ord(one):02x}" if at in commands else _escaped(one) for at, one in enumerate(text))
    return f'"{"".join(spelled)}"'


def _is_printable(text: str) -> bool:
    return all(one.isprintable() or one == "\t" for one in text)


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
