"""Saved plans on disk, and what must hold before one is applied."""

import os
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import UsageError
from reconciler.model.change import Change
from reconciler.model.plan import Plan
from reconciler.model.plan_notes import plan_mark
from reconciler.model.selection import Selection
from reconciler.model.spec import Spec
from reconciler.version import VERSION

if TYPE_CHECKING:
    from reconciler.model.plan import SavedPlan
    from reconciler.slots.context import Context
    from reconciler.targets import Target

_MAX_BYTES = 256 * 1024 * 1024
_AT_ONCE = 10
_HINT = "plan again, and review that"


def bind(
    plan: Plan,
    spec: Spec,
    target: "Target",
    *,
    selection: Selection,
    app: str | None,
    adopt: bool,
    prune_clones: bool = False,
    allow_destroy: int | None,
    images: Mapping[str, str],
) -> "SavedPlan":
    """Return the plan with what it is bound to.

    `spec` is as it was written, but for its images: they have what was looked up. `images` are their digests.
    """
    from reconciler.canonical.change_hashes import change_hashes, set_sha256
    from reconciler.model.plan import SavedPlan
    from reconciler.planner.hashes import scheme_of_spec, spec_sha256

    changes = frozenset(change_hashes(plan))
    return SavedPlan(
        plan=plan,
        plan_sha256=set_sha256(changes),
        change_hashes=changes,
        spec_sha256=spec_sha256(spec),
        tool_version=VERSION,
        scheme=scheme_of_spec(spec),
        target=target_of(target),
        selection=selection,
        app=app,
        adopt=adopt,
        prune_clones=prune_clones,
        allow_destroy=allow_destroy,
        images=images,
    )


def write(saved: "SavedPlan", file: Path, *, salt: str, conceal: Callable[[str], str] = lambda text: text) -> None:
    """Write the file whole or not at all, for its owner only. Raises UsageError.

    `salt` is for the digests of masked values; `conceal` takes known tokens out of the text. A link is followed.
    What is there and no plain file, such as a pipe, is written into and stays what it is.
    """
    from reconciler.render.json import json_text
    from reconciler.render.saved import saved_json

    text = conceal(json_text(saved_json(saved, salt=salt))) + "\n"
    try:
        if file.exists() and not file.is_file():
            file.write_text(text, encoding="utf-8")
        else:
            _replace_file(file, text)
    except OSError as error:
        from reconciler.operations.file_errors import cannot_write

        raise cannot_write("cannot save the plan as", file, error) from error


def read_plan(file: str | PathLike[str]) -> "SavedPlan":
    """Return the saved plan of the file. Raises UsageError."""
    from reconciler.render.saved import parse_saved

    try:
        with Path(file).open("rb") as opened:
            content = opened.read(_MAX_BYTES + 1)
        text = content[:_MAX_BYTES].decode("utf-8")
    except OSError as error:
        from reconciler.operations.file_errors import cannot_read

        raise cannot_read(file, error, hint="`reconciler plan --out FILE` makes one") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not a saved plan", hint="make one with `reconciler plan --out FILE`") from error
    return parse_saved(text, name=str(file))


def is_of_spec(saved: "SavedPlan", spec: Spec) -> bool:
    """Return whether the plan was made from this spec, with what was looked up."""
    from reconciler.planner.hashes import spec_sha256

    return saved.spec_sha256 == spec_sha256(spec)


def check_target(saved: "SavedPlan", spec: Spec, target: "Target") -> None:
    """Raise UsageError if the plan was made for another target or environment."""
    if saved.target != target_of(target):
        raise UsageError(f"the plan was made for {saved.target}, and this is {target_of(target)}", hint=_HINT)
    if saved.environment not in {None, spec.environment}:
        this = f"for {spec.environment}" if spec.environment else "without one"
        hint = f"pass --environment {saved.environment}"
        raise UsageError(f"the plan was made for the environment {saved.environment}, and this is {this}", hint=hint)


def check_origin(saved: "SavedPlan", spec: Spec, looked_up: Spec) -> None:
    """Raise UsageError if the plan is of another spec, or of another scheme.

    That is the scheme of its digests. Another version of this tool is fine: the plan is made again, and must be the
    same. `looked_up` is the spec with what was looked up of its images.
    """
    from reconciler.planner.hashes import scheme_of_spec

    if not is_of_spec(saved, spec) and not is_of_spec(saved, looked_up):
        hint = f"{_HINT}; variables of the environment are part of the spec"
        raise UsageError(f"{spec.file} is not the spec that the plan was made from", hint=hint)
    if saved.scheme != (scheme := scheme_of_spec(looked_up)):
        made = f"the plan was made by version {saved.tool_version} with digests of scheme {saved.scheme}"
        raise UsageError(f"{made}, and this version makes scheme {scheme}", hint=_HINT)


def reviewed_versions(saved: "SavedPlan") -> dict[str, str]:
    """Return the versions that the plan's machines had, by their ids.

    Plans saved by early versions of this tool have none.
    """
    return {
        change.machine_id: change.expected.version
        for change in saved.plan.effective
        if change.machine_id and change.expected.version
    }


async def changed_back(context: "Context", saved: "SavedPlan", now: Plan) -> tuple[str, ...]:
    """Return which machines were changed and changed back since the review.

    This makes a call for each machine whose version is another one now.
    """
    import asyncio

    from reconciler.slots.versions import was_changed_back

    reviewed, limit = reviewed_versions(saved), asyncio.Semaphore(_AT_ONCE)

    async def one(change: Change) -> str | None:
        if not change.machine_id or not change.expected.version or change.machine_id not in reviewed:
            return None
        async with limit:
            why = await was_changed_back(
                context,
                change.machine,
                reviewed=reviewed[change.machine_id],
                live=change.expected.version,
                plan=plan_mark(saved.plan_sha256),
            )
        return f"{change.address}: machine {change.machine_id}: {why}" if why else None

    return tuple(why for why in await asyncio.gather(*map(one, now.effective)) if why)


def target_of(target: "Target") -> str:
    """Return the API that is meant. The local engine's port is new at each start."""
    return "local" if target.name == "local" else target.base_url


def _replace_file(target: Path, text: str) -> None:
    """Replace the file by one with this text, readable only for its owner.

    A link is followed. Raises OSError.
    """
    target = Path(os.path.realpath(target))
    import tempfile

    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as unfinished:
            unfinished.write(text)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
