"""Convert the API's JSON to nouns and back.

Only this file knows how the API spells machines, events and leases.

It is as tolerant as the platform: an unknown state is UNKNOWN, a missing list is empty, a config of null is missing. A
member of the wrong type is named in `Machine.not_understood`, and nothing else of that machine is trusted, so that one
bad machine does not hide the others. A reply that cannot be what was asked for raises MalformedError.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from msgspec import Struct

from reconciler.machines_api.configs import Configs, Understood, understood
from reconciler.machines_api.events import events_from_json
from reconciler.machines_api.values import MalformedError, is_id, list_of, object_of, text_of, time_of
from reconciler.model.config import MachineConfig
from reconciler.model.machine import Check, HostStatus, Lease, Machine, MachineState, MachineVersion, ShownLease

_NONCE: Final = r"[!-~]{1,1000}"
Reduce: TypeAlias = Callable[[Machine], Machine]
_Understand: TypeAlias = Callable[[dict[str, Any]], Understood]


class AppInfo(Struct, frozen=True, kw_only=True):
    """An app as reported. What the server does not report is None; `org` is a slug."""

    machine_count: int | None
    org: str | None = None


def app_from_json(value: Any) -> AppInfo:
    """Parse an app."""
    app = object_of(value, "an app")
    count = app.get("machine_count")
    if not isinstance(count, int | None) or isinstance(count, bool):
        raise MalformedError("a number as the app's `machine_count`")
    org = app.get("organization")
    return AppInfo(machine_count=count, org=(text_of(org.get("slug")) or None) if isinstance(org, dict) else None)


def machines_from_json(app: str, value: Any, reduce: Reduce | None = None) -> tuple[Machine, ...]:
    """Parse a list of machines, or an iterator over it: each machine once.

    One without a valid id is kept, with the id "". Of each is returned what `reduce` leaves of it.
    """
    if value is None:
        return ()
    if not isinstance(value, list | Iterator):
        raise MalformedError("a list of machines")
    understand = Configs().understood
    listed = (_listed_machine(app, one, understand) for one in value)
    machines = list(map(reduce, listed) if reduce else listed)
    first = {machine.id: machine for machine in reversed(machines)}
    return tuple(machine for machine in machines if not machine.id or first[machine.id] is machine)


def machine_from_json(app: str, value: Any, *, machine_id: str | None = None, name: str | None = None) -> Machine:
    """Parse one machine. Raises MalformedError if its id or name is another one."""
    machine = object_of(value, "a machine")
    found = machine.get("id")
    if not is_id(found) or machine_id not in {None, found}:
        raise MalformedError(f"machine {machine_id}" if machine_id else "a machine with an id")
    if name not in {None, text_of(machine.get("name"))}:
        raise MalformedError(f"a machine of the name {name}")
    return _machine(app, machine, understood)


def _listed_machine(app: str, value: Any, understand: _Understand) -> Machine:
    """Parse one member of a list.

    Without an id only its name is kept, as nobody can read or change it.
    """
    if isinstance(value, dict) and is_id(value.get("id")):
        return _machine(app, value, understand)
    machine = value if isinstance(value, dict) else {}
    return Machine(
        app=app,
        id="",
        name=_name(machine),
        state=state_from_json(machine.get("state")),
        region="",
        version="",
        config=None,
        not_understood=("id",),
    )


def _machine(app: str, machine: Mapping[str, Any], understand: _Understand) -> Machine:
    config = machine.get("config")
    document, unclear = understand(config) if isinstance(config, dict) else (None, ())
    image = machine.get("image_ref")
    return Machine(
        app=app,
        id=machine["id"],
        name=_name(machine),
        state=state_from_json(machine.get("state")),
        region=_name(machine, "region"),
        version=text_of(machine.get("version")) or text_of(machine.get("instance_id")),
        config=None if document is None else MachineConfig(document=document),
        created_at=time_of(machine.get("created_at")),
        updated_at=time_of(machine.get("updated_at")),
        host_status=_host_status(machine.get("host_status")),
        image_digest=(text_of(image.get("digest")) or None) if isinstance(image, dict) else None,
        events=events_from_json(machine.get("events")),
        checks=tuple(_check(one) for one in list_of(machine.get("checks")) if isinstance(one, dict)),
        not_understood=(*_not_understood(machine, config), *unclear),
        lease=_shown_lease(machine.get("lease")),
    )


def regions_from_json(value: Any) -> frozenset[str]:
    """Parse the codes of the regions.

    The live API capitalises the key, its OpenAPI document does not.
    """
    answer = object_of(value, "a list of regions")
    rows = answer.get("Regions", answer.get("regions"))
    codes = (row.get("code") for row in rows if isinstance(row, dict)) if isinstance(rows, list) else ()
    return frozenset(code for code in codes if isinstance(code, str) and code)


def limits_from_json(value: Any) -> dict[str, int]:
    """Parse how many machines each region may have, spelled either way.

    The live API spells them in one way, and its document in another.
    """
    answer = object_of(value, "placements")
    rows = [row for row in list_of(answer.get("Regions", answer.get("regions"))) if isinstance(row, dict)]
    pairs = ((row.get("Region", row.get("region")), row.get("Count", row.get("count"))) for row in rows)
    return {code: count for code, count in pairs if isinstance(code, str) and type(count) is int}


def versions_from_json(value: Any) -> tuple[MachineVersion, ...]:
    """Parse the retained versions, in the server's order."""
    return tuple(_version(one if isinstance(one, dict) else {}) for one in list_of(value))


def _version(value: Mapping[str, Any]) -> MachineVersion:
    config = value.get("user_config")
    sent = MachineConfig(document=understood(config)[0]) if isinstance(config, dict) else None
    return MachineVersion(version=text_of(value.get("version")), config=sent)


def lease_from_json(value: Any) -> Lease:
    """Parse a lease. Real replies wrap it in `data`, the OpenAPI document does not."""
    lease = object_of(value, "a lease")
    data = lease.get("data")
    lease = data if isinstance(data, dict) else lease
    nonce = lease.get("nonce")
    if not isinstance(nonce, str) or not re.fullmatch(_NONCE, nonce):
        raise MalformedError("a lease with a nonce")
    return Lease(
        nonce=nonce,
        expires_at=time_of(lease.get("expires_at")) or datetime.fromtimestamp(0, UTC),
        owner=text_of(lease.get("owner")) or "someone",
        description=text_of(lease.get("description")),
    )


def _shown_lease(value: Any) -> ShownLease | None:
    """Return the lease that a list shows; None if there is none with an expiry."""
    expires_at = time_of(value.get("expires_at")) if isinstance(value, dict) else None
    if expires_at is None:
        return None
    return ShownLease(
        owner=text_of(value.get("owner")) or "someone",
        description=text_of(value.get("description")),
        expires_at=expires_at,
    )


def machine_body(
    *, name: str, region: str, config: MachineConfig, skip_launch: bool, current_version: str | None = None
) -> dict[str, Any]:
    """Return the body of a create or an update."""
    body: dict[str, Any] = {"name": name, "region": region, "config": dict(config.document)}
    if skip_launch:
        body["skip_launch"] = True
    if current_version:
        body["current_version"] = current_version
    return body


def _check(check: Mapping[str, Any]) -> Check:
    return Check(
        name=text_of(check.get("name")), status=text_of(check.get("status")), output=text_of(check.get("output"))
    )


def _not_understood(machine: Mapping[str, Any], config: Any) -> Iterator[str]:
    """Yield the names of the members that we rely on and that have a wrong type."""
    for name in ("name", "region"):
        if not _name(machine, name):
            yield name
    if not _is_a(machine.get("events"), list):
        yield "events"
    if not _is_a(machine.get("host_status"), str):
        yield "host_status"
    if not _is_a(config, dict):
        yield "config"


def previous_state_from_json(value: Any) -> str | None:
    """Return the state before a start; None for one that is not documented."""
    state = state_from_json(value.get("previous_state") if isinstance(value, dict) else None)
    return None if state is MachineState.UNKNOWN else state.value


def _is_a(value: Any, kind: type) -> bool:
    return value is None or isinstance(value, kind)


def state_from_json(value: Any) -> MachineState:
    """Parse a state; UNKNOWN for one that the platform does not document."""
    try:
        return MachineState(value)
    except ValueError:
        return MachineState.UNKNOWN


def _host_status(value: Any) -> HostStatus:
    if not value or not isinstance(value, str):
        return HostStatus.OK
    try:
        return HostStatus(value)
    except ValueError:
        return HostStatus.UNKNOWN


def _name(machine: Mapping[str, Any], member: str = "name") -> str:
    value = machine.get(member)
    return value if isinstance(value, str) else ""
