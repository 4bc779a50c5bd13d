"""How an apply behaves."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from reconciler.model.revision import Revision

DEFAULT_PARALLELISM: Final = 10
DEFAULT_LOCK_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`only` names the pools that the plan was made for; `force` ends running tasks that are to be destroyed.

    `lock_timeout_s` bounds the wait for someone else's lease, `parallelism` the changes under way at once. With
    `is_failing_fast` nothing new begins after a failure. A machine that a newer `revision` was applied to is left
    alone, unless `allow_rollback`. `plan_sha256` is the hash of a plan that was reviewed, to be remembered.
    With `only_drift` the plan holds only what someone else changed, and nothing else of the spec is made true. The
    leases that are taken name `verb` as their holder's command.
    """

    only: Collection[str] = ()
    parallelism: int = DEFAULT_PARALLELISM
    lock_timeout_s: float = DEFAULT_LOCK_TIMEOUT_S
    force: bool = False
    is_failing_fast: bool = False
    revision: Revision | None = None
    allow_rollback: bool = False
    plan_sha256: str | None = None
    only_drift: bool = False
    verb: str = "apply"
