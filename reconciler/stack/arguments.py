"""Check a program's arguments to a stack before any call; make options of them.

A plan of the wrong type must not become an apply that nobody reviewed.
"""

from collections.abc import Collection, Mapping
from os import PathLike
from typing import Any, Final

from reconciler.apply.options import DEFAULT_LOCK_TIMEOUT_S, Options
from reconciler.canonical.change_hashes import change_hashes, set_sha256
from reconciler.errors import UsageError
from reconciler.images.builder import BUILDERS
from reconciler.model.approval import Approval
from reconciler.model.plan import Plan, SavedPlan
from reconciler.model.revision import Revision
from reconciler.model.run_policy import LONGEST_S
from reconciler.model.selection import Selection
from reconciler.model.spec import Spec
from reconciler.operations.approvals import approvals_of
from reconciler.operations.consent import Consent
from reconciler.operations.selection import check_pools
from reconciler.tasks.arguments import (
    check_callback,
    check_flag,
    check_lost_after,
    check_seconds,
    check_target,
    check_text,
    environment_of,
    named,
    seconds_of,
)

WAIT_BUSY: Final = "10m"
_MOST_PARALLEL: Final = 100  # as for the command


def check_stack(
    spec: Any, *, target: Any, token: Any, environment: Any, emit: Any, lost_after_s: Any
) -> Mapping[str, str]:
    """Check the arguments of a stack, and return its environment.

    Raises TypeError or ValueError.
    """
    check_spec("spec", spec)
    check_target(target)
    if token is not None:
        check_text("token", token)
    check_callback("emit", emit)
    check_lost_after(lost_after_s)
    return environment_of(environment)


def check_spec(what: str, value: Any) -> None:
    """Check a spec. Raises TypeError."""
    if not isinstance(value, Spec):
        raise TypeError(f"{what} must be a Spec, not {named(value)}; load_spec(file) reads one")


def check_overlays(value: Any) -> None:
    """Check the files that lie over a spec. Raises TypeError."""
    if isinstance(value, str | bytes | bytearray | PathLike) or not isinstance(value, Collection):
        raise TypeError(f"overlays must be a list of files, not {named(value)}")


def check_builder(value: Any) -> None:
    """Check the name of a builder. Raises TypeError or ValueError.

    None is allowed: it means the first builder that is installed.
    """
    if value is not None:
        check_text("builder", value)
        if value not in BUILDERS:
            raise ValueError(f"builder must be one of {', '.join(BUILDERS)}, not {value!r}")


def check_selection(spec: Spec, only: Any, exclude: Any, regions: Any, *others: Spec) -> Selection:
    """Check the names of pools and regions, and return what they select.

    Raises TypeError or ValueError, and UsageError if no spec has a pool of a name.
    """
    found = {}
    for what, of, value in (("only", "pools", only), ("exclude", "pools", exclude), ("regions", "regions", regions)):
        if isinstance(value, str | bytes | bytearray) or not isinstance(value, Collection):
            raise TypeError(f"{what} must be a list of the names of {of}, not {named(value)}")
        for name in value:
            check_text(f"a name in {what}", name)
        found[what] = tuple(value)
    selection = Selection(**found)
    check_pools((spec, *others), selection)
    return selection


def check_planned(*, allow_destroy: Any, adopt: Any, prune_clones: Any, revision: Any, no_revision: Any) -> None:
    """Check what a plan is made with. Raises TypeError or ValueError."""
    check_flag("adopt", adopt)
    check_flag("prune_clones", prune_clones)
    check_flag("no_revision", no_revision)
    if no_revision and revision is not None:
        raise ValueError("revision and no_revision contradict each other")
    for what, value in (("allow_destroy", allow_destroy), ("revision", revision)):
        if value is not None:
            _check_number(what, value, least=0)


def consent_of(
    plan: Any,
    *,
    selection: Selection,
    allow_destroy: Any,
    allow_rollback: Any,
    adopt: Any,
    prune_clones: Any,
    only_drift: Any,
) -> Consent:
    """Return what the call agrees to. Raises TypeError or ValueError."""
    approvals = _approvals_of(plan)
    check_flag("allow_rollback", allow_rollback)
    saved = plan if isinstance(plan, SavedPlan) else None
    if saved and (not selection.is_whole or adopt or prune_clones or only_drift or allow_destroy is not None):
        said = "only, exclude, regions, adopt, prune_clones, only_drift and allow_destroy"
        raise ValueError(f"{said} do not go with a saved plan")
    return Consent(
        saved=saved,
        approvals=approvals,
        planned=plan if isinstance(plan, Plan) else None,
        allow_destroy=allow_destroy,
        allow_rollback=allow_rollback,
        adopt=adopt,
        prune_clones=prune_clones,
    )


def apply_options(
    *, selection: Selection, parallelism: Any, lock_timeout: Any, lock_timeout_s: Any, fail_fast: Any, only_drift: Any
) -> Options:
    """Return how the apply is to behave. Raises TypeError or ValueError."""
    check_flag("fail_fast", fail_fast)
    check_flag("only_drift", only_drift)
    _check_number("parallelism", parallelism, least=1, most=_MOST_PARALLEL)
    return Options(
        selection=selection,
        parallelism=parallelism,
        lock_timeout_s=_wait_of("lock_timeout", lock_timeout, lock_timeout_s, default=DEFAULT_LOCK_TIMEOUT_S),
        is_failing_fast=fail_fast,
        only_drift=only_drift,
    )


def check_revision(plan: Any, revision: Revision | None, *, no_revision: bool) -> None:
    """Check that what was approved comes with a revision.

    Without one, no older apply is refused, so a hash or a set could be applied again at any time. Raises UsageError,
    unless that was said.
    """
    if isinstance(plan, str) and revision is None and not no_revision:
        why = "a plan's hash needs a revision, and none is known: pass revision=N, or no_revision=True"
        raise UsageError(why, hint="the time of the commit is one, inside a git repository")


def check_carried_out(*, on_end: Any, on_event: Any) -> None:
    """Check who is told of what is carried out. Raises TypeError."""
    check_callback("on_end", on_end)
    check_callback("on_event", on_event)


def wait_busy_of(wait_busy: Any, wait_busy_s: Any, *, default: str | None = WAIT_BUSY) -> Any:
    """Return how long to wait for runs in progress, in seconds.

    None, where that is the default, is not at all. Raises TypeError or ValueError.
    """
    if wait_busy is None and wait_busy_s is None and default is None:
        return None
    return _wait_of("wait_busy", wait_busy, wait_busy_s, default=default)


def _approvals_of(plan: Any) -> tuple[Approval, ...]:
    """Return what was approved; nothing without a plan, or for a saved plan.

    A saved plan brings its own. Raises TypeError for another type, and ValueError for a string that is neither a hash
    nor the set of a plan's changes.
    """
    match plan:
        case None | SavedPlan():
            return ()
        case Plan():
            changes = change_hashes(plan)
            return (Approval(set_sha256(changes), frozenset(changes)),)
        case str():
            try:
                return approvals_of(plan)
            except ValueError as error:
                why = f"plan is {plan!r}, and no hash of a plan (sha256:…); for a file use read_plan"
                raise ValueError(f"{why}: {error}") from error
        case _:
            raise TypeError(
                f"plan must be a Plan, a SavedPlan, the hash of a plan, or None, not {named(plan)};"
                " for a file use read_plan"
            )


def _wait_of(what: str, value: Any, seconds: Any, *, default: Any) -> Any:
    """Return the seconds of a wait; `seconds` is the same by its older name."""
    found = seconds_of(value, seconds, what=what, default=default)
    _check_wait(what if seconds is None else f"{what}_s", found)
    return found


def _check_wait(what: str, value: Any) -> None:
    check_seconds(what, value)
    if value > LONGEST_S:
        raise ValueError(f"{what} must be at most {LONGEST_S} seconds, not {value}")


def _check_number(what: str, value: Any, *, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be a whole number, not {named(value)}")
    if value < least or (most is not None and value > most):
        raise ValueError(f"{what} must be {least} or more{f', at most {most}' if most else ''}, not {value}")
