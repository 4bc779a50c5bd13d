"""What earlier plans saw, so that a later one need not look again: which version of a machine was as declared. Pure.

A version of a machine (its instance id) is made with each new config and never changes; metadata is no part of it. So
a machine that still has the version that was found to be as declared is as declared, whatever it was that is told of
its config, as long as the same is declared. Whether a service's machine stays up is told by its events alone, so that
one that was updated lately, or has stopped, is looked at.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from reconciler.canonical.digest import digest_of
from reconciler.model import marks
from reconciler.model.machine import Machine, MachineState, ObservedApp
from reconciler.model.spec import App, Pool, PoolKind

_RESTART_PAUSE_S: Final = 60.0  # longer than a crashed machine waits until it is started again


class Known(NamedTuple):
    """The version of a machine that was as declared, and the digest of what was declared."""

    version: str
    digest: str


KnownMachines: TypeAlias = Mapping[str, Known]  # by machine id


def known_of(app: App, observed: ObservedApp) -> dict[str, Known]:
    """What is known of the app's machines, all of which were found to be as declared; empty where one of them may not
    stay so, as it has a run's own config.
    """
    digests = _Digests(app)
    found = {}
    for machine in observed.machines:
        digest = digests.of(machine)
        if digest is None or not machine.is_observable or not machine.instance_id:
            return {}
        found[machine.id] = Known(machine.instance_id, digest)
    return found


def recognized(app: App, machines: tuple[Machine, ...], known: KnownMachines, at: datetime) -> ObservedApp | None:
    """The app with whole configs for machines of which an overview was seen `at`; None unless each is known, once.

    An app without machines is not recognised either: that something was not listed proves nothing.
    """
    digests = _Digests(app)
    if not machines or sorted(machine.id for machine in machines) != sorted(known):
        return None
    whole = []
    for machine in machines:
        pool = digests.pool_of(machine)
        if pool is None or not machine.is_observable or known[machine.id] != (machine.instance_id, digests.of(machine)):
            return None
        if pool.kind is PoolKind.SERVICE and _may_be_crashing(machine, pool, at):
            return None
        whole.append(replace(machine, config=pool.config.with_metadata(machine.metadata)))
    return ObservedApp(name=app.name, exists=True, machines=tuple(whole))


def _may_be_crashing(machine: Machine, pool: Pool, at: datetime) -> bool:
    """Whether something has happened to the machine since it could be known to stay up, or it may have given up."""
    min_healthy_s = pool.rollout.min_healthy_s
    if min_healthy_s <= 0:
        return False
    if machine.state is MachineState.STOPPED:
        return True
    return machine.updated_at is None or (at - machine.updated_at).total_seconds() < min_healthy_s + _RESTART_PAUSE_S


class _Digests:
    """The digest of what each machine of the app should be."""

    def __init__(self, app: App) -> None:
        self._pools = {slot.name: pool for pool in app.pools for slot in pool.slots}
        self._digests = {pool.name: digest_of(pool.config) for pool in app.pools}

    def pool_of(self, machine: Machine) -> Pool | None:
        """The pool that has a slot of the machine's name; None where a run has put a config of its own on it."""
        return None if marks.OVERRIDE in machine.metadata else self._pools.get(machine.name)

    def of(self, machine: Machine) -> str | None:
        pool = self.pool_of(machine)
        return self._digests[pool.name] if pool else None
