"""The label of a pull request that says what its plan does, for lists and rules that look at labels.

It is exactly one of three. The label that allows a plan to destroy is the reviewers' own, and never touched.
"""

from typing import Any
from urllib.parse import quote

from github import GitHub, GitHubError

CHANGES, DESTROYS, NONE = "reconciler: changes", "reconciler: destroys", "reconciler: none"
_COLOURS = {CHANGES: "fbca04", DESTROYS: "d73a4a", NONE: "c2e0c6"}
_DESCRIPTIONS = {
    CHANGES: "The plan changes machines, and destroys none",
    DESTROYS: "The plan destroys or replaces machines",
    NONE: "The plan is empty",
}


def label_of(plan: dict[str, Any]) -> str | None:
    """Return what the plan's label is; None without a plan, as it failed."""
    if not plan:
        return None
    if any(change["action"] in {"destroy", "replace"} for change in plan["changes"]):
        return DESTROYS
    return CHANGES if plan["has_changes"] else NONE


def set_label(github: GitHub, number: int, label: str | None) -> None:
    """Set the label, made if it is missing, and take the other two away; nothing is sent in vain.

    Raises GitHubError.
    """
    there = github.labels(number)
    if label and label not in there:
        _create(github, label)
        github.call("POST", f"/issues/{number}/labels", body={"labels": [label]})
    for other in sorted(there & set(_COLOURS) - {label}):
        try:
            github.call("DELETE", f"/issues/{number}/labels/{quote(other, safe='')}")
        except GitHubError as error:
            if error.status != 404:  # another job was faster
                raise


def _create(github: GitHub, label: str) -> None:
    body = {"name": label, "color": _COLOURS[label], "description": _DESCRIPTIONS[label]}
    try:
        github.call("POST", "/labels", body=body)
    except GitHubError as error:
        if error.status != 422:  # it is there already
            raise
