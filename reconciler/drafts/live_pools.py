"""Group live machines into pools, of a kind and with a name each.

Machines of one pool have equal canonical configs, the same kind and the same process group of `fly deploy`. A machine
with a volume has a pool of its own, since it is the only one that can have that volume.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from reconciler.canonical.normalize import canonical, without_nullish
from reconciler.drafts.names import LONGEST_POOL, free_pool_name, pool_name_like
from reconciler.drafts.pool_members import declarable_metadata
from reconciler.model.config import MachineConfig
from reconciler.model.crashes import recent_crash
from reconciler.model.image import reference
from reconciler.model.machine import Machine, MachineState
from reconciler.model.spec import PoolKind, Rollout

_GROUPS: Final = ("fly_process_group", "process_group")  # the second is of older versions of flyctl
_PREPARED_WITHIN_S: Final = 120.0  # with an image that is pulled; 70 s were seen
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_STOPPED: Final = (
    "It was {state} when it was imported, and nothing starts it by itself: so it is a task, which runs when it is"
    " invoked. As a service it would be started."
)
_STANDBY: Final = "A standby of another machine, which the platform starts if that one's host fails."


class LivePool(Struct, frozen=True, kw_only=True):
    """A pool to be written, with its machines in the order of their slots."""

    name: str
    kind: PoolKind
    machines: tuple[Machine, ...]
    config: Mapping[str, Any]  # of one of them, with its image named by digest
    remark: str = ""

    @property
    def by_region(self) -> dict[str, list[str]]:
        """Return the machines' names by region, in the order of their slots."""
        found: dict[str, list[str]] = {}
        for machine in self.machines:
            found.setdefault(machine.region, []).append(machine.name)
        return found

    @property
    def slots(self) -> dict[str, list[str]]:
        """Return the names by region where they are not what slots are called."""
        return {region: names for region, names in self.by_region.items() if names != self._natural(region, names)}

    def _natural(self, region: str, names: Sequence[str]) -> list[str]:
        return [f"{self.name}-{region}-{number}" for number in range(len(names))]


def pools_of(app: str, machines: Iterable[Machine], *, at: datetime) -> tuple[LivePool, ...]:
    """Return the pools of an app's machines, services first, the larger ones first.

    Each machine must be observable. `at` is when they were seen.
    """
    groups: dict[tuple[str, ...], list[Machine]] = {}
    for machine in sorted(machines, key=_age):
        groups.setdefault(_key(machine, at), []).append(machine)
    found = [_pool(group, at) for group in groups.values()]
    found.sort(key=lambda one: (one.kind is PoolKind.TASK, -len(one.machines), _age(one.machines[0])))
    ungrouped = [one for one in found if not _group_of(one.machines[0])]
    names: set[str] = set()
    named = []
    for one in found:
        base = _base_name(one, app, is_only=len(ungrouped) == 1)
        name = free_pool_name(base, names)
        names.add(name)
        named.append(_in_order(replace(one, name=name)))
    return tuple(named)


def kind_of_live(machine: Machine, *, at: datetime) -> tuple[PoolKind, str]:
    """Return what the machine is to be, and a remark if that needs one.

    With services or checks, or running under a restart policy other than `no`, it is a service; but not one that rests
    and that a plan would start. All others are tasks.
    """
    assert machine.config is not None
    config = MachineConfig(document=without_nullish(dict(machine.config.document)))  # as the spec will have it
    if config.schedule and not (config.services or config.checks):
        return PoolKind.TASK, ""
    is_serving = bool(config.services or config.checks)
    is_kept_up = config.restart_policy != "no"
    if not machine.state.is_resting:
        return (PoolKind.SERVICE if is_serving or is_kept_up else PoolKind.TASK), ""
    if is_serving and config.may_rest and not _has_failed(machine, at):
        return PoolKind.SERVICE, ""
    if config.document.get("standbys"):
        return PoolKind.TASK, _STANDBY
    if is_serving or is_kept_up:
        return PoolKind.TASK, _STOPPED.format(state=machine.state.value)
    return PoolKind.TASK, ""


def is_undecided(machine: Machine, *, at: datetime) -> bool:
    """Return whether the machine is being prepared, so that its kind is not known.

    It is `created` then, and starts by itself or comes to rest.
    """
    config, since = machine.config, max(filter(None, (machine.created_at, machine.updated_at)), default=None)
    if machine.state is not MachineState.CREATED or config is None or since is None:
        return False
    is_either = bool(config.services or config.checks) or config.restart_policy != "no"
    return is_either and not config.schedule and (at - since).total_seconds() < _PREPARED_WITHIN_S


def _has_failed(machine: Machine, at: datetime) -> bool:
    """Return whether a machine that may rest ended with an error instead."""
    ended = recent_crash(machine.events, at=at, min_healthy_s=Rollout().min_healthy_s)
    return machine.state is MachineState.FAILED or ended is not None


def pinned(machine: Machine) -> dict[str, Any]:
    """Return the machine's config, with its image named by digest if that is known."""
    assert machine.config is not None
    document = dict(machine.config.document)
    image, digest = reference(document.get("image")), machine.image_digest or ""
    if image and not image.digest and _DIGEST.fullmatch(digest) and not document.get("containers"):
        document["image"] = image.pinned(digest)
    return document


def _key(machine: Machine, at: datetime) -> tuple[str, ...]:
    document = pinned(machine)
    config = MachineConfig(document=document | {"metadata": declarable_metadata(machine.metadata)})
    text = json.dumps(canonical(config), sort_keys=True, default=str)
    kind, remark = kind_of_live(machine, at=at)
    return kind.value, remark, _group_of(machine), text, machine.id if config.volumes else ""


def _group_of(machine: Machine) -> str:
    return next((machine.metadata[key] for key in _GROUPS if machine.metadata.get(key)), "")


def _age(machine: Machine) -> tuple[datetime, str, str]:
    return machine.created_at or datetime.max.replace(tzinfo=UTC), machine.name, machine.id


def _pool(machines: Sequence[Machine], at: datetime) -> LivePool:
    kind, remark = kind_of_live(machines[0], at=at)
    return LivePool(name="", kind=kind, machines=tuple(machines), config=pinned(machines[0]), remark=remark)


def _base_name(pool: LivePool, app: str, *, is_only: bool) -> str:
    """Return what to call the pool.

    That is its group, what its machines' names begin with, the app, or the image.
    """
    first = pool.machines[0]
    if group := _group_of(first):
        return pool_name_like(group)
    begins = {_beginning(one) for one in pool.machines}
    if len(begins) == 1 and (begin := begins.pop()):
        return begin
    image = reference(pool.config.get("image"))
    return pool_name_like(app if is_only or image is None else image.repository.rpartition("/")[2])


def _beginning(machine: Machine) -> str:
    """Return POOL of a machine's name that is POOL-REGION-N; empty for another one."""
    pattern = rf"([a-z][a-z0-9-]{{0,{LONGEST_POOL - 1}}})-{re.escape(machine.region)}-(0|[1-9][0-9]{{0,4}})"
    found = re.fullmatch(pattern, machine.name, flags=re.ASCII)
    return found[1] if found else ""


def _in_order(pool: LivePool) -> LivePool:
    """Put the machines in the order of their slots.

    That is by number where their names have one, else by age.
    """

    def place(machine: Machine) -> tuple[int, tuple[datetime, str, str]]:
        begin = f"{pool.name}-{machine.region}-"
        number = machine.name.removeprefix(begin)
        is_natural = machine.name.startswith(begin) and number.isdecimal() and len(number) < 6
        return int(number) if is_natural else 100_000, _age(machine)

    return replace(pool, machines=tuple(sorted(pool.machines, key=lambda one: (one.region, *place(one)))))
