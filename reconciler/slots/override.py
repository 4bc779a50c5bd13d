"""Change a machine's config for one run, and restore it afterwards.

The mark `override` holds the run's ULID and the version to go back to; `applied` stays, so that no plan shows drift. If
the process is killed in between, the mark stays too: the next claim, or an apply that finds the machine at rest,
restores the config.
"""

from typing import Any

from reconciler.canonical.digest import is_digest_of, live_digest
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Machine, MachineRef
from reconciler.model.run_policy import Override, RunPolicy
from reconciler.slots.context import Context
from reconciler.slots.lease import APPLY_TTL_S, HeldLease, hold_lease
from reconciler.slots.update import send_config
from reconciler.slots.update_error import UpdateFailedError
from reconciler.slots.wait import read_machine


async def put_override(
    context: Context,
    lease: HeldLease,
    live: Machine,
    override: Override,
    policy: RunPolicy,
    *,
    ulid: str,
    declared: MachineConfig | None,
) -> Machine:
    """Give the machine the args and env of one run. Return it, at rest.

    `live` is the GET under the lease. Raises ApiError, LeaseLostError, UpdateFailedError.
    """
    version, base, digest = await _base_of(context, live, declared)
    metadata = dict(live.metadata) | {marks.OVERRIDE: marks.override_of(ulid, version, digest)}
    config = MachineConfig(document=_changed(base, override, policy)).with_metadata(metadata)
    return await send_config(context, lease, live, config)


async def restore(
    context: Context, lease: HeldLease, live: Machine, *, declared: MachineConfig | None = None
) -> Machine:
    """Restore the config from before the override. Return the machine.

    `live` is the GET under the lease, at rest. `declared` is the spec's config, which is used if the server no longer
    retains the version. Raises ApiError, LeaseLostError, UpdateFailedError.
    """
    _version, base, _digest = await _base_of(context, live, declared)
    metadata = {key: value for key, value in live.metadata.items() if key != marks.OVERRIDE}
    return await send_config(context, lease, live, base.with_metadata(metadata))


async def restore_if_idle(
    context: Context,
    machine: Machine | MachineRef,
    *,
    ulid: str | None = None,
    declared: MachineConfig | None = None,
    patience_s: float | None = None,
) -> str | None:
    """Restore the config of a machine at rest.

    Return why that failed, in words, else None. With `ulid`, only the override of that run is removed. Someone else's
    lease is waited for `patience_s` seconds; without that, its holder is left to restore the config.
    """
    try:
        async with hold_lease(
            context, machine.app, machine.id, verb="restore", ttl_s=APPLY_TTL_S, patience_s=patience_s
        ) as lease:
            live = await read_machine(context, machine)
            found = live.metadata.get(marks.OVERRIDE)
            if found and live.state.is_resting and live.is_observable and ulid in {None, marks.override_owner(found)}:
                await restore(context, lease, live, declared=declared)
    except Exception as error:
        if isinstance(error, ApiError) and error.kind is ApiErrorKind.LEASE_HELD and patience_s is None:
            return None  # whoever holds the lease restores the config
        return f"{machine.app}/{machine.name}: the override of a run is still on it: {context.explain(error)}"
    return None


async def _base_of(context: Context, live: Machine, declared: MachineConfig | None) -> tuple[str, MachineConfig, str]:
    """Return the version to go back to, its config and its live digest.

    They are the live ones, or those that an override on the machine names.
    """
    assert live.config is not None
    found = live.metadata.get(marks.OVERRIDE)
    if not found:
        return live.version, live.config, live_digest(live.config)
    _ulid, version, digest = marks.parse_override(found)
    versions = await context.client.list_versions(live.app, live.id)
    config = next((one.config for one in versions if one.version == version), None)  # assumption A6
    if config is not None:
        return version, config, digest
    if declared is not None and is_digest_of(live.metadata.get(marks.APPLIED), declared, live=live.config):
        return version, declared, digest
    raise UpdateFailedError(
        f"{live.name}: its config from before an override is no longer retained; run `reconciler apply`"
    )


def _changed(base: MachineConfig, override: Override, policy: RunPolicy) -> dict[str, Any]:
    document = dict(base.document)
    if override.env:
        document["env"] = dict(base.env) | dict(override.env)
    if override.args is not None:
        init = dict(document.get("init") or {})
        kept = list(init.get("cmd") or ())[: policy.args_after]
        document["init"] = init | {"cmd": [*kept, *override.args]}
    return document
