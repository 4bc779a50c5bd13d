"""Text from outside that is not UTF-8.

Python keeps such bytes as lone surrogates, which no API and no file takes.
"""

import re
from typing import Final

_SURROGATE: Final = "[\ud800-\udfff]"
_FIRST_BYTE: Final = 0xDC00  # a byte of this many more, by PEP 383


def is_utf8(text: str) -> bool:
    """Return whether the text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def escaped(text: str) -> str:
    r"""Return the text as it can be shown: `\xff` for a byte that is not UTF-8."""
    return text if is_utf8(text) else re.sub(_SURROGATE, _escape, text)


def replaced(text: str) -> str:
    """Return the text with a `?` for each byte that is not UTF-8."""
    return text if is_utf8(text) else re.sub(_SURROGATE, "?", text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - _FIRST_BYTE:02x}" if 0x80 <= code - _FIRST_BYTE <= 0xFF else f"\\u{code:04x}"
