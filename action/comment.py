"""The pull request's comment: what stands in it, and that there is one for each key.

It is found by its first line and changed in place. Its last line holds the plan's hash, the set of its changes, the
commit that it is of, and how many machines it was allowed to destroy, so that an apply after the merge can ask for
exactly that plan, or for what is left of it.
"""

import html
import re
from typing import Any, NamedTuple

from github import GitHub, GitHubError

LIMIT = 65_536
PRE_LIMIT = 50_000
LABEL = "reconciler: allow-destroy"
MOST_APPROVED = 25_000  # characters of the set of changes: as many as the plan in Markdown leaves room for
MOST_IN_AN_OUTPUT = 100_000  # likewise: a variable of a process holds 128 kB
_APPROVAL = r"sha256:[0-9a-f]{64}(?:\+[0-9a-f,]*)?"
_LAST_LINE = re.compile(rf"<!-- plan ({_APPROVAL}) of commit ([0-9a-f]{{40}})(?: allow-destroy (\d+))? -->")
_PLANS_LAST_LINE = re.compile(rf"\n*<!-- reconciler plan {_APPROVAL} -->\s*\Z")


class Shown(NamedTuple):
    """The plan that a comment shows."""

    approval: str  # for `apply --expect-plan`: the plan's hash, and the set of its changes if there was room for it
    commit: str
    allowance: str  # how many machines it may destroy; empty where that is not above the limit


def marker(key: str) -> str:
    """Return the first line of the comment with this key."""
    return f"<!-- machines-reconciler {re.sub(r'[^A-Za-z0-9._/-]', '_', key)} -->"


def destroys(plan: dict[str, Any], *, is_allowed: bool) -> int | None:
    """Return how many machines a plan above the deletion limit destroys, if that is allowed, or if it is not."""
    limit = plan.get("deletion_limit")
    return limit["destroys"] if limit and limit["is_allowed"] is is_allowed else None


def body_of(key: str, shown: str, plan: dict[str, Any], *, commit: str, run: str) -> str:
    """Return the whole comment. `plan` is empty if there is none to approve."""
    plan_hash = plan.get("plan_sha256")
    told = f" · plan hash `{plan_hash}`" if plan_hash else ""
    lacks = destroys(plan, is_allowed=False) is not None
    how = f"\nTo allow what this destroys, add the label `{LABEL}` and plan again.\n" if lacks else ""
    foot = f"{how}\n<sub>commit {commit[:12]} · [run]({run}){told}</sub>\n{_last_line(plan, commit)}"
    head = f"{marker(key)}\n"
    shown = _PLANS_LAST_LINE.sub("\n", shown)
    return head + shown[: LIMIT - len(head) - len(foot) - 10] + foot


def _last_line(plan: dict[str, Any], commit: str) -> str:
    approval, allowed = approval_of(plan, MOST_APPROVED), destroys(plan, is_allowed=True)
    if not approval:
        return ""
    return f"\n<!-- plan {approval} of commit {commit}{f' allow-destroy {allowed}' if allowed else ''} -->"


def approval_of(plan: dict[str, Any], most: int) -> str:
    """Return the plan's hash, with the set of its changes if that has room; empty if it cannot be approved."""
    approval, changes = plan.get("plan_sha256") or "", plan.get("change_hashes")
    text = f"{approval}+{','.join(changes or [])}"
    return text if approval and changes is not None and len(text) <= most else approval


def shown_in(body: str) -> Shown | None:
    """Return the plan that a comment shows; None if it shows none, as that plan failed."""
    found = _LAST_LINE.fullmatch(body.rstrip().rpartition("\n")[2])
    return Shown(found[1], found[2], found[3] or "") if found else None


def pre(text: str, title: str | None, *, is_folded: bool = False) -> str:
    """Return text as it is, for a page: the end of it if it is long. It may be folded under its title."""
    heading = f"### {title}\n\n" if title else ""
    told = [line for line in text.splitlines() if not line.startswith("::")]  # annotations stand elsewhere
    escaped = html.escape("\n".join(told))
    if len(escaped) > PRE_LIMIT:
        escaped = "…" + escaped[-PRE_LIMIT:].partition("\n")[2]
    if is_folded:
        return f"\n<details><summary>{title}</summary>\n\n<pre>{escaped}</pre>\n\n</details>\n"
    return f"{heading}<pre>{escaped}</pre>\n"


def own_comments(github: GitHub, number: int, key: str, author: str) -> list[dict[str, Any]]:
    """Return this author's comments with this key, the oldest first."""
    first = marker(key) + "\n"
    return [
        one
        for one in github.comments(number)
        if str(one.get("body")).startswith(first) and (one.get("user") or {}).get("login") == author
    ]


def say(github: GitHub, number: int, key: str, body: str, *, author: str, may_create: bool = True) -> None:
    """Make or change the comment with this key. What others have begun in the same way is left alone.

    Without `may_create` nothing is said where there is no comment yet.
    """
    for comment in reversed(own_comments(github, number, key, author)):
        try:
            github.call("PATCH", f"/issues/comments/{comment['id']}", body={"body": body})
            return
        except GitHubError as error:
            if error.status not in {403, 404}:
                raise
    if may_create:
        github.call("POST", f"/issues/{number}/comments", body={"body": body})
