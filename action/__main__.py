"""What `action/run.sh` asks for, a verb each: texts for the summary, the pull request's comment, what was approved.

It runs as `python -I action`, so that only the files of this folder and the standard library can be imported.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from approvals import Approved, approved
from comment import LABEL, MOST_IN_AN_OUTPUT, approval_of, body_of, destroys, pre, say
from github import GitHub, GitHubError
from labels import label_of, set_label

NEXT_STEP = (
    "\nWhat is due now is the plan `{}`. To approve it as it is, run this workflow by hand with that hash, if it takes"
    " one; or open a pull request, whose plan shows it.\n"
)


def main(arguments: list[str], environment: dict[str, str]) -> int:
    values = _parser().parse_args(arguments)
    match values.verb:
        case "pre":
            sys.stdout.write(pre(values.file.read_text(), values.title, is_folded=values.folded))
        case "hash":
            sys.stdout.write(f"{_read(values.file)['plan_sha256']}\n")
        case "approval":
            sys.stdout.write(f"{approval_of(_read(values.file), MOST_IN_AN_OUTPUT)}\n")
        case "allowance":
            sys.stdout.write(_allowance(environment, _read(values.file)))
        case "comment":
            plan = _read(values.plan) if values.plan.is_file() else {}
            who = {"key": values.key, "author": values.author, "may_create": not values.only_update}
            _comment(environment, plan, values.file.read_text(), **who)
        case "label":
            _label(environment, _read(values.plan) if values.plan.is_file() else {})
        case "superseded":
            sys.stdout.write(_superseded(environment))
        case "approved":
            return _approved(environment, values.key, values.author, _read(values.plan), values.out)
        case "next-step":
            plan_hash = _read(values.file)["plan_sha256"]
            sys.stdout.write(NEXT_STEP.format(plan_hash) if plan_hash else "")
        case "closed":
            return _closed(environment)
        case "owns":
            return _owns(_read(values.file))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="action")
    verbs = parser.add_subparsers(dest="verb", required=True)
    pre_verb = verbs.add_parser("pre")
    pre_verb.add_argument("--title")
    pre_verb.add_argument("--folded", action="store_true")
    pre_verb.add_argument("file", type=Path)
    verbs.add_parser("hash").add_argument("file", type=Path)
    verbs.add_parser("approval").add_argument("file", type=Path)
    verbs.add_parser("allowance").add_argument("file", type=Path)
    comment_verb = verbs.add_parser("comment")
    comment_verb.add_argument("--key", required=True)
    comment_verb.add_argument("--plan", required=True, type=Path)
    comment_verb.add_argument("--author", required=True)
    comment_verb.add_argument("--only-update", action="store_true")
    comment_verb.add_argument("file", type=Path)
    verbs.add_parser("label").add_argument("plan", type=Path)
    approved_verb = verbs.add_parser("approved")
    approved_verb.add_argument("--key", required=True)
    approved_verb.add_argument("--author", required=True)
    approved_verb.add_argument("--plan", required=True, type=Path)
    approved_verb.add_argument("--out", required=True, type=Path)
    verbs.add_parser("superseded")
    verbs.add_parser("next-step").add_argument("file", type=Path)
    verbs.add_parser("closed")
    verbs.add_parser("owns").add_argument("file", type=Path)
    return parser


def _read(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(file.read_text())
    return document


def _pull(environment: dict[str, str]) -> dict[str, Any] | None:
    """Return the pull request that the workflow runs for."""
    try:
        event = _read(Path(environment.get("GITHUB_EVENT_PATH", "")))
    except (OSError, ValueError):
        return None
    return event.get("pull_request")


def _allowance(environment: dict[str, str], plan: dict[str, Any]) -> str:
    """Return how many machines the pull request's label lets the plan destroy: as many as it would.

    Empty without the label, or if none is needed.
    """
    lacking, pull = destroys(plan, is_allowed=False), _pull(environment)
    if lacking is None or not pull:
        return ""
    try:
        return str(lacking) if LABEL in GitHub(environment).labels(int(pull["number"])) else ""
    except (GitHubError, ValueError, KeyError, TypeError) as error:
        _warn(f"the pull request's labels could not be read: {error}", sys.stderr)
        return ""


def _label(environment: dict[str, str], plan: dict[str, Any]) -> None:
    """Set the pull request's label. That it cannot be set is no reason to fail."""
    pull = _pull(environment)
    if not pull:
        return
    try:
        set_label(GitHub(environment), int(pull["number"]), label_of(plan))
    except (GitHubError, ValueError, KeyError, TypeError) as error:
        _warn(f"the pull request's label could not be set: {error}", sys.stdout)


def _comment(
    environment: dict[str, str], plan: dict[str, Any], shown: str, *, key: str, author: str, may_create: bool
) -> None:
    """Make the comment. That it cannot be made is no reason to fail: a fork's token may not."""
    pull = _pull(environment)
    if not pull:
        return
    run = (
        f"{environment.get('GITHUB_SERVER_URL', 'https://github.com')}/{environment['GITHUB_REPOSITORY']}"
        f"/actions/runs/{environment.get('GITHUB_RUN_ID', '')}"
    )
    body = body_of(key, shown, plan, commit=str(pull["head"]["sha"]), run=run)
    try:
        say(GitHub(environment), int(pull["number"]), key, body, author=author, may_create=may_create)
    except (GitHubError, ValueError, KeyError, TypeError) as error:
        _warn(f"the plan could not be put into a comment: {error}", sys.stdout)


def _warn(words: str, stream: Any) -> None:
    stream.write(f"::warning title=reconciler::{' '.join(words.split())}\n")


def _superseded(environment: dict[str, str]) -> str:
    """Return the newest commit of the branch that the workflow runs for, if it is another one; else nothing."""
    branch = _branch(environment)
    if not branch:
        return ""
    try:
        head = GitHub(environment).head_of(branch)
    except (GitHubError, ValueError, KeyError, TypeError) as error:
        _warn(f"the newest commit of {branch} is not known: {error}", sys.stderr)
        return ""
    return "" if head == environment["GITHUB_SHA"] else f"{head}\n"


def _branch(environment: dict[str, str]) -> str:
    """Return the branch that the workflow runs for; empty if it runs for a pull request or a tag."""
    prefix, _, branch = environment.get("GITHUB_REF", "").partition("refs/heads/")
    return "" if prefix else branch


def _approved(environment: dict[str, str], key: str, author: str, plan: dict[str, Any], out: Path) -> int:
    """Write what was approved, one a line, and print what may be destroyed. If nothing is due, nobody is asked."""
    found, commit = Approved([], []), environment["GITHUB_SHA"]
    applied = (plan.get("applied_revision") or {}).get("commit") or ""
    try:
        if plan["has_changes"]:
            github, branch = GitHub(environment), _branch(environment)
            found = approved(github, key=key, author=author, branch=branch, commit=commit, applied=applied)
    except (GitHubError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"::error title=reconciler::what was approved is not known: {' '.join(str(error).split())}\n")
        return 1
    for note in found.notes:
        _warn(note, sys.stderr)
    out.write_text("".join(f"{line}\n" for line in found.lines))
    sys.stdout.write(f"{found.allowance}\n")
    return 0


def _closed(environment: dict[str, str]) -> int:
    """Print the numbers of the pull requests that were closed, one a line."""
    try:
        sys.stdout.write("".join(f"{number}\n" for number in GitHub(environment).closed_pulls()))
    except (GitHubError, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"::error title=reconciler::the closed pull requests are not known: {error}\n")
        return 1
    return 0


def _owns(validation: dict[str, Any]) -> int:
    """Return 0 if the stack of a valid spec is the environment's own: its name holds that of the environment."""
    stack, environment = validation.get("stack"), validation.get("environment")
    if not (stack and environment):
        return 0  # a spec that is not valid is told as such by what comes next
    if environment in stack:
        return 0
    sys.stderr.write(
        f"::error title=reconciler::the stack {stack} is not one of the environment {environment} alone: use"
        " ${RECONCILER_ENVIRONMENT} in the spec's `name`\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], dict(os.environ)))
