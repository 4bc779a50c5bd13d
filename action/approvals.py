"""What was approved by merges: the plans that the pull requests' comments showed last.

The newest commit of a branch is applied whole. What it may do is what the plans of all pull requests hold that were
merged since the commit that was applied last: together, since any of their own applies may have been left out.
"""

from typing import Any, NamedTuple

from comment import Shown, own_comments, shown_in
from github import GitHub

MAX_COMMITS = 50
NOTHING = "none"  # for `apply --expect-plan`: nothing was approved


class Approved(NamedTuple):
    """What may be applied, for `apply --expect-plan`, and what was found that approves nothing, in words."""

    plans: list[Shown]
    notes: list[str]

    @property
    def lines(self) -> list[str]:
        """Return one approval a line."""
        return [one.approval for one in self.plans] or [NOTHING]

    @property
    def allowance(self) -> str:
        """Return how many machines may be destroyed; empty if the plans say so themselves, as a set of changes does."""
        if any("+" in one.approval for one in self.plans):
            return ""
        return max((one.allowance for one in self.plans), key=lambda text: int(text or 0), default="")


def approved(github: GitHub, *, key: str, author: str, branch: str, commit: str, applied: str) -> Approved:
    """Return what the merges up to this commit have approved, the newest first.

    `applied` is the commit that was applied whole, or its first digits; empty if that is not known. The commit's own
    merge counts in any case: its apply may have been cut off. Raises GitHubError.
    """
    plans, notes = [], []
    for merged in _since(github, commit, applied):
        for pull in github.pulls_of(merged):
            if pull.get("merge_commit_sha") == merged and pull.get("merged_at") and pull["base"]["ref"] == branch:
                found = _last_plan(github, pull, key=key, author=author)
                if isinstance(found, Shown):
                    plans.append(found)
                else:
                    notes.append(f"pull request {pull['number']} approves nothing: {found}")
    return Approved(plans, notes)


def _since(github: GitHub, commit: str, applied: str) -> list[str]:
    """Return the branch's commits that are newer than the applied one, the newest first; at least `commit` itself."""
    parents = {str(one["sha"]): [str(parent["sha"]) for parent in one["parents"]] for one in github.history(commit)}
    line = [commit]
    while len(line) < MAX_COMMITS and (before := parents.get(line[-1])):
        line.append(before[0])
    if not applied:
        return line
    for place, one in enumerate(line):
        if one.startswith(applied):
            return line[: max(place, 1)]
    return line if len(line) == MAX_COMMITS else [commit]


def _last_plan(github: GitHub, pull: dict[str, Any], *, key: str, author: str) -> Shown | str:
    """Return the plan that the pull request showed last; in words why it has none of its last commit."""
    own = own_comments(github, pull["number"], key, author)
    if not own:
        return f"it has no plan of {key} by {author}"
    shown = shown_in(str(own[-1]["body"]))
    if shown is None:
        return "its last plan failed"
    if shown.commit != pull["head"]["sha"]:
        return f"its last plan is of an older commit, {shown.commit[:12]}"
    return shown
