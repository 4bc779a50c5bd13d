"""What was approved: sets of changes, or plans of which only the hash is known.

The text of a set is the plan's hash, `+`, and the hashes of its changes: `sha256:…+0123456789abcdef,…`. It is what the
last line of a plan in Markdown holds. `none` is the empty set, which approves nothing. Several approvals are one: their
union.
"""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

_CHANGES: Final = r"[0-9a-f]{16}(?:,[0-9a-f]{16})*"
_PLAN: Final = r"sha256:[0-9a-f]{64}"
_TEXT: Final = rf"({_PLAN})(?:\+({_CHANGES})?)?"
_LINE: Final = rf"(?:<!-- reconciler plan )?({_PLAN}(?:\+(?:{_CHANGES})?)?|none)(?: -->)?"
NOTHING: Final = "none"


class Approval(Struct, frozen=True):
    """One plan that was approved.

    `changes` are the hashes of its changes, None if only the plan's own hash is known.
    """

    plan_sha256: str
    changes: frozenset[str] | None = None


def approval_text(plan_sha256: str, changes: Iterable[str]) -> str:
    """Return the text of a set: the plan's hash, and the hashes of its changes."""
    return f"{plan_sha256}+{','.join(sorted(changes))}"


def parse_approval(text: str) -> Approval:
    """Parse the hash of a plan, or the text of a set. Raises ValueError."""
    found = re.fullmatch(_TEXT, text)
    if found is None:
        raise ValueError("expected sha256: and 64 hexadecimal digits, or the set of a plan's changes")
    if "+" not in text:
        return Approval(found[1])
    return Approval(found[1], frozenset(found[2].split(",") if found[2] else ()))


def approvals_in(text: str) -> list[str]:
    """Return the approvals in a text, such as a plan in Markdown.

    Each stands on a line of its own, alone or in an HTML comment.
    """
    found = (re.fullmatch(_LINE, line.strip()) for line in text.splitlines())
    return [one[1] for one in found if one]
