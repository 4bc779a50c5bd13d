"""Find volumes that a spec mounts more than once.

A volume has one machine at a time, so that cannot work.
"""

from collections.abc import Iterable

from reconciler.model.spec import App, Pool
from reconciler.spec.diagnostics import Findings


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
        findings.add_at(pool.place.line, pool.place.column, problem, hint=hint)


def _named(other: Pool, pool: Pool) -> str:
    return f"pool {other.name!r}" if other.app == pool.app else f"pool {other.name!r} of app {other.app!r}"
