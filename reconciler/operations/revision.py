"""Find the revision of a spec: the given one, the commit's, or the pipeline's.

The revision fences off older applies, so a spec without one is told aloud, and so is one that is not the commit's.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from reconciler.model.revision import Revision, committed, numbered
from reconciler.model.spec import Spec
from reconciler.operations.git import NoCommitError, head_commit

# What pipelines count, and what happens when an old one is run again: GitHub and GitLab keep its number, Buildkite and
# CircleCI give a new one.
_NUMBERS: Final = ("GITHUB_RUN_NUMBER", "CI_PIPELINE_IID", "BUILDKITE_BUILD_NUMBER", "CIRCLE_BUILD_NUM")
# GitLab alone tells the committer time of the commit that it runs for, so this is what git would say.
_COMMIT_TIME: Final = "CI_COMMIT_TIMESTAMP"
_COMMIT: Final = "CI_COMMIT_SHA"
_UNKNOWN: Final = "no revision, so nothing keeps an older apply from undoing this one"


class FoundRevision(Struct, frozen=True, kw_only=True):
    """A spec's revision, or None; the warning is for one that is not certain."""

    revision: Revision | None = None
    warning: str | None = None

    def told_by(self, spec: Spec) -> Spec:
        """Return the spec with the warning, so that every plan of it shows it."""
        return replace(spec, warnings=(*spec.warnings, self.warning)) if self.warning else spec


def find_revision(
    spec: Spec,
    number: int | None,
    environment: Mapping[str, str],
    *,
    is_declined: bool = False,
    is_local: bool = False,
) -> FoundRevision:
    """Return the given number as a revision; without one, that of the HEAD commit.

    HEAD is that of the repository in which the spec lies. Its revision is its committer time: counts of commits are
    wrong in shallow clones. If git does not tell it, the pipeline's own variables do. There is none, and no warning
    either, where a revision `is_declined`; nor where none is known on the local engine, which is one user's own.
    """
    if number is not None:
        return FoundRevision(revision=numbered(number))
    if is_declined:
        return FoundRevision()
    try:
        if spec.file.startswith("<"):
            raise NoCommitError("the spec is no file of a git repository")
        return FoundRevision(revision=committed(*head_commit(Path(spec.file).parent, environment)))
    except NoCommitError as error:
        return _of_pipeline(environment, str(error), is_local=is_local)


def _of_pipeline(environment: Mapping[str, str], why: str, *, is_local: bool) -> FoundRevision:
    """Return the revision that the pipeline's variables name; `why` git names none."""
    if commit := _commit(environment):
        return FoundRevision(revision=commit, warning=f"{why}: the revision is {commit.words}, from {_COMMIT_TIME}")
    for variable in _NUMBERS:
        value = environment.get(variable, "")
        if re.fullmatch(r"[0-9]{1,18}", value):
            revision = numbered(int(value))
            told = f"{why}: this is {revision.words}, from {variable}; it does not compare with the commit's, which git"
            return FoundRevision(revision=revision, warning=f"{told} would tell")
    if is_local:
        return FoundRevision()
    return FoundRevision(warning=f"{_UNKNOWN}: {why}; pass --revision N, or --no-revision")


def _commit(environment: Mapping[str, str]) -> Revision | None:
    commit = environment.get(_COMMIT, "")
    try:
        at = datetime.fromisoformat(environment.get(_COMMIT_TIME, ""))
    except ValueError:
        return None
    if at.tzinfo is None or at.timestamp() < 0 or not re.fullmatch(r"[0-9a-f]{40,64}", commit):
        return None
    return committed(int(at.timestamp()), commit)
