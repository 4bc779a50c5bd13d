"""What `action/run.sh` asks for, a verb each: texts for the summary, the pull request's comment, what was approved.

It runs as `python -I action`, so that only the files of this folder and the standard library can be imported.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from approvals import approved
from comment import LABEL, body_of, destroys, pre, say
from github import GitHub, GitHubError
from labels import label_of, set_label


def main(arguments: list[str], environment: dict[str, str]) -> int:
    values = _parser().parse_args(arguments)
    match values.verb:
        case "pre":
            sys.stdout.write(pre(values.file.read_text(), values.title))
        case "hash":
            sys.stdout.write(f"{_read(values.file)['plan_sha256']}\n")
        case "allowance":
            sys.stdout.write(_allowance(environment, _read(values.file)))
        case "comment":
            plan = _read(values.plan) if values.plan.is_file() else {}
            who = {"key": values.key, "author": values.author, "may_create": not values.only_update}
            _comment(environment, plan, values.file.read_text(), **who)
        case "label":
            _label(environment, _read(values.plan) if values.plan.is_file() else {})
        case "approved":
            return _approved(environment, values.key, values.author)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="action")
    verbs = parser.add_subparsers(dest="verb", required=True)
    pre_verb = verbs.add_parser("pre")
    pre_verb.add_argument("--title")
    pre_verb.add_argument("file", type=Path)
    verbs.add_parser("hash").add_argument("file", type=Path)
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


def _approved(environment: dict[str, str], key: str, author: str) -> int:
    try:
        shown = approved(GitHub(environment), key=key, author=author, commit=environment["GITHUB_SHA"])
    except (LookupError, GitHubError, ValueError, TypeError) as error:
        sys.stderr.write(f"::error title=reconciler::no approved plan: {' '.join(str(error).split())}\n")
        return 1
    sys.stdout.write(f"{shown.approval} {shown.allowance}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], dict(os.environ)))
