"""The planner: a spec and a snapshot of the world in, a plan out. It never talks.

What this package offers is imported when it is first asked for: a run needs digests, and nothing else from here.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.planner.diff import Differ
    from reconciler.planner.digest import SCHEME, digest_of, live_digest, section_digests
    from reconciler.planner.drift import apps_to_look_at, only_drift, with_drift, with_lost
    from reconciler.planner.hashes import plan_sha256, spec_sha256
    from reconciler.planner.images import (
        with_applied_digests,
        with_applied_digests_of,
        with_digest,
        with_digests,
    )
    from reconciler.planner.moves import moved
    from reconciler.planner.normalize import canonical
    from reconciler.planner.pair import unreachable_machines
    from reconciler.planner.planner import Planner, plan

__all__ = [
    "SCHEME",
    "Differ",
    "Planner",
    "apps_to_look_at",
    "canonical",
    "digest_of",
    "live_digest",
    "moved",
    "only_drift",
    "plan",
    "plan_sha256",
    "section_digests",
    "spec_sha256",
    "unreachable_machines",
    "with_applied_digests",
    "with_applied_digests_of",
    "with_digest",
    "with_digests",
    "with_drift",
    "with_lost",
]

_HOMES = {
    "SCHEME": "digest",
    "Differ": "diff",
    "Planner": "planner",
    "apps_to_look_at": "drift",
    "canonical": "normalize",
    "digest_of": "digest",
    "live_digest": "digest",
    "moved": "moves",
    "only_drift": "drift",
    "plan": "planner",
    "plan_sha256": "hashes",
    "section_digests": "digest",
    "spec_sha256": "hashes",
    "unreachable_machines": "pair",
    "with_applied_digests": "images",
    "with_applied_digests_of": "images",
    "with_digest": "images",
    "with_digests": "images",
    "with_drift": "drift",
    "with_lost": "drift",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
