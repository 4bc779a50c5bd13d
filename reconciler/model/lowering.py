"""What a plan leaves machines or pools less of."""

import enum

from msgspec import Struct

from reconciler.model.spec import Slot


class Lowered(enum.StrEnum):
    """What there is less of; `what` in a plan's JSON."""

    MEMORY = "memory"
    CPUS = "cpus"
    CPU_KIND = "cpu_kind"  # shared CPUs after dedicated ones
    CHECK = "check"  # a health check that is taken away
    COUNT = "count"  # machines of a pool in a region
    REGION = "region"  # all machines of a pool in a region that it has left
    POOL = "pool"  # all machines of a pool that has left the spec


class Lowering(Struct, frozen=True, kw_only=True):
    """One thing that a pool has less of, and the machines that it is about.

    `before` and `after` are MB, CPUs or the kinds of CPUs. `name` is the check's or the region's.
    """

    what: Lowered
    app: str
    pool: str
    slots: tuple[Slot, ...]
    before: int | str | None = None
    after: int | str | None = None
    name: str = ""
