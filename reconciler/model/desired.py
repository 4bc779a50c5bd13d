"""What a plan wants of a machine, and what it expects to find there.

Also what it wants of a pool whose anchor goes.
"""

from msgspec import Struct

from reconciler.model.config import MachineConfig
from reconciler.model.spec import PoolKind, Slot


class DesiredMachine(Struct, frozen=True, kw_only=True):
    """What a slot's machine is to be: all that a create or update sends.

    `config` is without marks, and `digest` is its digest. What concerns the whole pool is on its anchor only: the
    `run_policy` of a task, as a mark holds it, and `counts`, the number of machines by region.
    """

    slot: Slot
    kind: PoolKind
    config: MachineConfig
    digest: str
    anchor: str | None = None  # name of the pool's anchor slot
    run_policy: str | None = None
    counts: str | None = None
    image_digest: str | None = None  # what the tag of the pool's image was resolved to
    launch: bool = False
    is_protected: bool = False

    @property
    def is_scheduled(self) -> bool:
        """Return whether the machine has a schedule.

        It must be sent without `skip_launch`, which would leave the schedule unarmed.
        """
        return self.config.schedule is not None


class Handover(Struct, frozen=True, kw_only=True):
    """What a pool's anchor passes on when it is destroyed.

    `successor` is the name of the slot that is the anchor then; None if the pool has no slots.
    """

    successor: str | None
    digest: str
    run_policy: str
    counts: str | None = None
    image_digest: str | None = None


class Expected(Struct, frozen=True, kw_only=True):
    """What the machine must still be when the change is made.

    That is the digests of its live config in canonical form, and its mark. Only a saved plan has a `version`. A version
    made by the override of a run is no change.
    """

    digest: str | None = None
    applied: str | None = None
    version: str | None = None
