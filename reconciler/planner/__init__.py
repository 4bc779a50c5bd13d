"""The planner: a spec and a snapshot of the world in, a plan out. It never talks."""

from reconciler.planner.digest import digest_of, live_digest, section_digests
from reconciler.planner.normalize import canonical
from reconciler.planner.planner import plan

__all__ = ["canonical", "digest_of", "live_digest", "plan", "section_digests"]
