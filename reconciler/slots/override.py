"""A config that is one run's own: put on a machine before the run, and taken off again by whoever comes first.

The mark `override` holds the run's ULID and the version to go back to; `applied` stays, so no plan takes it for drift.
Whoever is killed in between leaves the mark: the next claimer, or an apply that finds the machine at rest, restores.
"""

from typing import Any

from reconciler.canonical.digest import digest_of, live_digest
from reconciler.errors import ApiError, ApiErrorKind
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Machine
from reconciler.model.run_policy import Override, Terms
from reconciler.slots.context import Context
from reconciler.slots.lease import APPLY_TTL_S, HeldLease, hold_lease
from reconciler.slots.update import UpdateFailedError, send_config
from reconciler.slots.wait import read_machine


def owner_of(metadata_value: str) -> str:
    """The ULID of the run whose config it is."""
    return marks.parse_override(metadata_value)[0]


async def put_override(
    context: Context,
    lease: HeldLease,
    live: Machine,
    override: Override,
    terms: Terms,
    *,
    ulid: str,
    declared: MachineConfig | None,
) -> Machine:
    """The machine with the run's own args and env, at rest. `live` is the GET under the lease.

    Raises ApiError, LeaseLostError, UpdateFailedError.
    """
    version, base, digest = await _base_of(context, live, declared)
    metadata = dict(live.metadata) | {marks.OVERRIDE: marks.override_of(ulid, version, digest)}
    config = MachineConfig(document=_changed(base, override, terms)).with_metadata(metadata)
    return await send_config(context, lease, live, config)


async def restore(
    context: Context, lease: HeldLease, live: Machine, *, declared: MachineConfig | None = None
) -> Machine:
    """The machine as it was before the override that is on it. `live` is the GET under the lease, at rest.

    `declared` is the spec's config, for a server that has forgotten the version. Raises ApiError, LeaseLostError,
    UpdateFailedError.
    """
    _version, base, _digest = await _base_of(context, live, declared)
    metadata = {key: value for key, value in live.metadata.items() if key != marks.OVERRIDE}
    return await send_config(context, lease, live, base.with_metadata(metadata))


async def restore_if_idle(
    context: Context,
    machine: Machine,
    *,
    ulid: str | None = None,
    declared: MachineConfig | None = None,
    patience_s: float | None = None,
) -> str | None:
    """Takes the override of the run `ulid` (or any) off a machine at rest; why it is still on it, in words.

    Someone else's lease is waited for `patience_s` seconds; without a patience whoever holds one is left to restore.
    """
    try:
        async with hold_lease(
            context, machine.app, machine.id, verb="restore", ttl_s=APPLY_TTL_S, patience_s=patience_s
        ) as lease:
            live = await read_machine(context, machine)
            found = live.metadata.get(marks.OVERRIDE)
            if found and live.state.is_resting and live.is_observable and ulid in {None, owner_of(found)}:
                await restore(context, lease, live, declared=declared)
    except Exception as error:
        if isinstance(error, ApiError) and error.kind is ApiErrorKind.LEASE_HELD and patience_s is None:
            return None  # someone else came first, and restores
        return f"{machine.app}/{machine.name}: one run's own config is still on it: {context.explain(error)}"
    return None


async def _base_of(context: Context, live: Machine, declared: MachineConfig | None) -> tuple[str, MachineConfig, str]:
    """The version to go back to, its config, and its live digest: the live one, or what an override on it names."""
    assert live.config is not None
    found = live.metadata.get(marks.OVERRIDE)
    if not found:
        return live.instance_id, live.config, live_digest(live.config)
    _ulid, version, digest = marks.parse_override(found)
    config = await context.client.get_version(live.app, live.id, version)  # assumption A6
    if config is not None:
        return version, config, digest
    if declared is not None and digest_of(declared) == live.metadata.get(marks.APPLIED):
        return version, declared, digest
    raise UpdateFailedError(f"{live.name}: what it was before an override is no longer kept; run `reconciler apply`")


def _changed(base: MachineConfig, override: Override, terms: Terms) -> dict[str, Any]:
    document = dict(base.document)
    if override.env:
        document["env"] = dict(base.env) | dict(override.env)
    if override.args is not None:
        init = dict(document.get("init") or {})
        kept = list(init.get("cmd") or ())[: terms.args_after]
        document["init"] = init | {"cmd": [*kept, *override.args]}
    return document
