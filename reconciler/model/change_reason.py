"""The reasons for a change, as values that programs can compare. `Change.reason` says the same in words."""

import enum


class ReasonCode(enum.Enum):
    """Why a change is planned, or why none is; `reason_code` in a plan's JSON."""

    MISSING = "missing"  # no machine yet
    DESTROYED = "destroyed"  # a machine was applied, and is not there any more
    REGION = "region"  # the machine is in another region than its slot
    VOLUME = "volume"  # the machine mounts another volume
    SPEC = "spec"  # the spec changed since it was last applied
    DRIFT = "drift"  # someone else changed the machine
    IMAGE = "image"  # the image's tag names another digest
    SPEC_AND_DRIFT = "spec_and_drift"  # both the spec and someone else
    INCOMPLETE = "incomplete"  # never applied whole, or changed in what does not show on the machine
    KIND = "kind"  # the pool moved from `tasks` to `services` or back
    NOT_RUNNING = "not_running"  # a service's machine is at rest
    CRASHING = "crashing"  # a service's machine does not stay up
    UNMARKED = "unmarked"  # a machine of the slot's name that no stack has marked
    POOL_REMOVED = "pool_removed"  # its pool left the spec
    REGION_REMOVED = "region_removed"  # its region left the pool
    COUNT_LOWERED = "count_lowered"  # the pool has fewer machines in its region
    DUPLICATE = "duplicate"  # a second machine of one slot
    DESTROY = "destroy"  # asked for by `reconciler destroy`
    SETTINGS = "settings"  # the pool's settings are not as they were applied
    AS_DECLARED = "as_declared"
