"""What was reviewed before an apply: a saved plan, or the hash of one; and whether a plan is still that."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli import saved_plan
from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared
from reconciler.errors import UsageError
from reconciler.model.plan import Plan

if TYPE_CHECKING:
    from reconciler.model.saved_plan import SavedPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What was reviewed before: a saved plan, or the hash of one. Either is consent."""

    saved: "SavedPlan | None" = None
    expected: str | None = None

    @property
    def is_consent(self) -> bool:
        return bool(self.saved or self.expected)

    @property
    def sha256(self) -> str | None:
        """The hash of what is applied, where it was reviewed."""
        return self.saved.plan_sha256 if self.saved else self.expected


def read_review(
    plan_file: Path | None,
    expect_plan: str | None,
    options: Shared,
    *,
    adopt: bool,
    only_drift: bool,
    allow_destroy: int | None,
    builds: bool,
) -> Review:
    """What the command line names. Raises usage errors where it contradicts itself, UsageError where it is no plan."""
    if expect_plan is not None and not re.fullmatch(r"sha256:[0-9a-f]{64}", expect_plan):
        raise click.BadParameter("expected sha256: and 64 hexadecimal digits", param_hint="--expect-plan")
    if plan_file is None:
        return Review(expected=expect_plan)
    if options.only or adopt or only_drift or allow_destroy is not None or builds:
        said = "--only, --adopt, --only-drift, --allow-destroy and --build do not go with a saved plan"
        raise click.UsageError(said)
    saved = saved_plan.read(saved_plan.seen_from(options, plan_file))
    if expect_plan not in {None, saved.plan_sha256}:
        raise UsageError(f"{plan_file} is the plan {saved.plan_sha256}, not {expect_plan}")
    return Review(saved=saved)


def objections_to(review: Review, plan: Plan, applied: str | None) -> tuple[str, ...]:
    """Why the plan is not what was reviewed; says so. Nothing where it is, or where nothing was."""
    from reconciler.planner.hashes import plan_sha256

    reasons: tuple[str, ...] = ()
    if review.saved:
        reasons = saved_plan.objections(review.saved, plan, applied)
    elif review.expected and (found := plan_sha256(plan)) != review.expected:
        reasons = (f"the plan is {found} now, and {review.expected} was approved",)
    if reasons:
        why = "\n".join(f"  {reason}" for reason in reasons)
        console.say(f"error: the plan is not the one that was reviewed; nothing was changed\n{why}\n  plan again")
    return reasons
