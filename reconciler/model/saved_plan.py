"""A plan in a file: what is shown of it, and what it is bound to.

It has no secret and no env value in the clear.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.model.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """A plan that was written to a file and read again.

    `plan` has the changes with what they are bound to (machine, digests), the values of its fields masked. The target
    and the spec must be those of the apply, and `scheme` must be that of its digests. `only`, `app`, `adopt` and
    `allow_destroy` are how it was asked for; `images` are the digests that the images' tags had, by their references as
    written.
    """

    plan: Plan
    plan_sha256: str
    spec_sha256: str
    tool_version: str
    scheme: str
    target: str
    only: tuple[str, ...] = ()
    app: str | None = None
    adopt: bool = False
    allow_destroy: int | None = None
    images: Mapping[str, str] = field(default_factory=dict)
