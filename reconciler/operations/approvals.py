"""Read what was approved: plans' hashes, and the sets of their changes.

An approval is the hash of a plan, or the text of a set: `sha256:…+CHANGE,CHANGE`. A file may be a saved plan, a plan in
JSON or in Markdown, or have one approval a line. `none` approves nothing. Several approvals are one: what any of them
holds was approved.
"""

import json
from pathlib import Path

from reconciler.errors import UsageError
from reconciler.model.approval import NOTHING, Approval, approval_text, approvals_in, parse_approval

_MAX_BYTES = 256 * 1024 * 1024


def approvals_of(text: str) -> tuple[Approval, ...]:
    """Return the approvals in a text, one a line. Raises ValueError."""
    return tuple(_nothing() if word == NOTHING else _checked(parse_approval(word)) for word in text.split() or [""])


def read_approvals(file: Path) -> tuple[Approval, ...]:
    """Return the approvals in a file.

    It is a plan in JSON or in Markdown, or has one approval a line. Raises UsageError if it cannot be read, and
    ValueError if it holds none.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(_MAX_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = "`reconciler plan --out FILE` makes such a file"
        if isinstance(error, OSError):
            from reconciler.operations.file_errors import cannot_read

            raise cannot_read(file, error, hint=hint) from error
        raise UsageError(f"cannot read {file}: it is not text", hint=hint) from error
    found = [_of_json(text)] if text.lstrip().startswith("{") else approvals_in(text)
    if not found:
        raise ValueError(f"{file} holds no approval: neither a plan's hash nor the set of its changes")
    return tuple(one for each in found for one in approvals_of(each))


def _of_json(text: str) -> str:
    try:
        document = json.loads(text)
        plan_sha256, changes = str(document["plan_sha256"]), document.get("change_hashes")
        return plan_sha256 if changes is None else approval_text(plan_sha256, [str(one) for one in changes])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("the file is no plan that can be approved") from error


def _nothing() -> Approval:
    from reconciler.canonical.change_hashes import set_sha256

    return Approval(set_sha256(()), frozenset())


def _checked(approval: Approval) -> Approval:
    """Return it, if the set is that of the hash. Raises ValueError."""
    from reconciler.canonical.change_hashes import set_sha256

    if approval.changes is not None and set_sha256(approval.changes) != approval.plan_sha256:
        raise ValueError(f"the set of changes is not that of {approval.plan_sha256}: it was cut or changed")
    return approval
