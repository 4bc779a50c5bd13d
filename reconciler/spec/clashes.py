"""Find what two pools of a spec cannot both have: a machine's name, a volume.

A volume has one machine at a time, so a spec cannot mount it more than once.
"""

from collections.abc import Iterable
from typing import Final

from reconciler.model.spec import App, Pool
from reconciler.spec.diagnostics import Findings

_MAX_NAME: Final = 63


def check_machine_names(app: App, findings: Findings) -> None:
    """Add a finding for each pool with a name that is too long, or another pool's."""
    machines: dict[str, str] = {}
    for pool in app.pools:
        if (problem := _problem_of_names(pool, machines)) and pool.place:
            findings.add_at(pool.place, problem)


def _problem_of_names(pool: Pool, machines: dict[str, str]) -> str | None:
    """Return what is wrong with the names of the pool's machines.

    `machines` has those of the pools before it.
    """
    for slot in pool.slots:
        if len(slot.name) > _MAX_NAME:
            return f"machine name {slot.name!r} is longer than {_MAX_NAME} characters"
        if machines.setdefault(slot.name, pool.name) != pool.name:
            return f"pools {machines[slot.name]!r} and {pool.name!r} both have a machine {slot.name!r}"
    return None


def check_volumes(apps: Iterable[App], findings: Findings) -> None:
    """Add a finding for each pool with a volume that several machines would need."""
    mounting: dict[str, Pool] = {}
    for pool in (pool for app in apps for pool in app.pools):
        machines = sum(pool.counts.values())
        for volume in sorted(pool.config.volumes) if machines else ():
            other = mounting.setdefault(volume, pool)
            if other is not pool:
                _add(pool, f"pool {pool.name!r} mounts volume {volume}, and so does {_named(other, pool)}", findings)
            elif machines > 1:
                _add(pool, f"{machines} machines of pool {pool.name!r} mount volume {volume}", findings)


def _add(pool: Pool, problem: str, findings: Findings) -> None:
    if pool.place:
        hint = "a volume has one machine at a time: declare a pool with `count: 1` for each volume"
        findings.add_at(pool.place, problem, hint=hint)


def _named(other: Pool, pool: Pool) -> str:
    return f"pool {other.name!r}" if other.app == pool.app else f"pool {other.name!r} of app {other.app!r}"
