"""Decide whether a machine is a task's or a service's: the only place. Pure.

A restart policy does not tell: a task may be restarted by the platform, and a service may be left alone.
"""

from typing import Final

from reconciler.model import marks
from reconciler.model.machine import Machine
from reconciler.model.spec import PoolKind

_KINDS: Final = {kind.value: kind for kind in PoolKind}


def kind_of(machine: Machine, *, declared: PoolKind | None = None) -> PoolKind:
    """Return what the machine was applied as, by its mark.

    Machines of earlier versions carry no such mark. Then `declared`, the kind that the spec gives their pool, else the
    config decides: services and checks are a service's alone, and so is, in their absence, the policy `always`. In
    doubt it is a task, which is never ended by force.
    """
    return _marked(machine) or declared or _guessed(machine)


def is_of_other_kind(machine: Machine, kind: PoolKind) -> bool:
    """Return whether the machine was applied as the other kind; False without a mark."""
    return _marked(machine) not in (None, kind)


def _marked(machine: Machine) -> PoolKind | None:
    return _KINDS.get(machine.metadata.get(marks.KIND, ""))


def _guessed(machine: Machine) -> PoolKind:
    config = machine.config
    if config is None:
        return PoolKind.TASK
    is_service = bool(config.services or config.checks) or config.restart_policy == "always"
    return PoolKind.SERVICE if is_service else PoolKind.TASK
