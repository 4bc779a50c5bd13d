"""What was approved by a merge: the plan that the pull request's comment showed last."""

from comment import Shown, own_comments, shown_in
from github import GitHub


def approved(github: GitHub, *, key: str, author: str, commit: str) -> Shown:
    """Return the plan that was last shown in the merged pull request, for its last commit.

    Raises LookupError.
    """
    pulls = github.pulls_of(commit)
    pull = next((one for one in pulls if one.get("merge_commit_sha") == commit and one.get("merged_at")), None)
    if pull is None:
        raise LookupError(f"commit {commit[:12]} is not the merge of a pull request")
    own = own_comments(github, pull["number"], key, author)
    if not own:
        raise LookupError(f"pull request {pull['number']} has no plan of {key} by {author}")
    shown = shown_in(str(own[-1]["body"]))
    if shown is None:
        raise LookupError(f"the last plan in pull request {pull['number']} failed, so nothing was approved")
    if shown.commit != pull["head"]["sha"]:
        raise LookupError(f"the last plan in pull request {pull['number']} is of an older commit, {shown.commit[:12]}")
    return shown
