"""The planner: a spec and a snapshot of the world in, a plan out. It never talks."""

from reconciler.planner.digest import digest_of, live_digest, section_digests
from reconciler.planner.drift import only_drift, with_drift
from reconciler.planner.hashes import plan_sha256, spec_sha256
from reconciler.planner.images import with_applied_digests, with_digest, with_digests
from reconciler.planner.moved import moved
from reconciler.planner.normalize import canonical
from reconciler.planner.planner import plan

__all__ = [
    "canonical",
    "digest_of",
    "live_digest",
    "moved",
    "only_drift",
    "plan",
    "plan_sha256",
    "section_digests",
    "spec_sha256",
    "with_applied_digests",
    "with_digest",
    "with_digests",
    "with_drift",
]
