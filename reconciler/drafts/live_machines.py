"""Write the draft of a spec from the live machines of an app. Pure.

A machine that no spec can have is a problem, in words. Machines that come and go by themselves are left alone.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct, field

from reconciler.canonical.forms import users_metadata
from reconciler.drafts.live_pools import LivePool, is_undecided, kind_of_live, pools_of
from reconciler.drafts.nodes import Comment, DraftMap, block, flow
from reconciler.drafts.pool_members import InexpressibleError, declarable_metadata, pool_members
from reconciler.drafts.variables import Variables
from reconciler.model import marks
from reconciler.model.counted import counted
from reconciler.model.image import reference
from reconciler.model.machine import Machine, MachineState
from reconciler.model.spec import PoolKind

_RUNNING: Final = frozenset({MachineState.STARTED, MachineState.STARTING, MachineState.RESTARTING})
_THROWAWAYS: Final = {
    "fly_app_release_command": "it runs the release command of `fly deploy`",
    "fly_app_test_machine_command": "it runs a test of `fly deploy`",
    "fly_app_console": "it is a console of flyctl",
}
_NAME: Final = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?", re.ASCII)  # that `slots` can have
_NAMED: Final = 5  # of many machines that have one reason


class LiveApp(Struct, frozen=True, kw_only=True):
    """An app as it was seen `at`, and what is to be made of it.

    `org` is None if it is not known or is the default. `secrets` are the names of its secrets. Machines whose name or
    id is in `skipped` are left out.
    """

    name: str
    machines: Sequence[Machine]
    at: datetime
    stack: str
    org: str | None = None
    secrets: Sequence[str] = ()
    skipped: Collection[str] = ()


class LiveDraft(Struct, kw_only=True):
    """A draft of the spec, or the problems for which there is none.

    `left_alone` says why machines are not in it, and `notes` what else its reader should know.
    """

    draft: DraftMap | None = None
    machine_ids: frozenset[str] = frozenset()
    problems: list[str] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def draft_of(app: LiveApp, variables: Variables) -> LiveDraft:
    """Return the draft of the app's machines; values that look secret are variables."""
    found = LiveDraft()
    taken = list(_taken(app, found))
    found.problems += _twice(taken)
    if not taken and not found.problems:
        found.problems.append(f"app {app.name} has no machine to take over")
    if found.problems:
        return found
    pools = pools_of(app.name, taken, at=app.at)
    written: list[tuple[LivePool, dict[str, Any]]] = []
    for pool in pools:
        try:
            written.append((pool, pool_members(pool.config, pool.kind, variables, pool=pool.name)))
        except InexpressibleError as error:
            found.problems.append(f"{_all_named(pool.machines)} cannot be in a spec: {error}")
    if found.problems:
        return found
    found.notes += _notes(pools)
    found.machine_ids = frozenset(machine.id for machine in taken)
    found.draft = _draft(app, written, variables)
    return found


def _taken(app: LiveApp, found: LiveDraft) -> Iterator[Machine]:
    """Yield the machines that the spec is to have."""
    unfit: dict[str, list[Machine]] = {}
    for machine in app.machines:
        if machine.state.is_gone or {machine.id, machine.name} & set(app.skipped):
            continue
        if reason := _problem(machine, app.at):
            unfit.setdefault(reason, []).append(machine)
        elif reason := _why_left_alone(machine, app.at):
            found.left_alone.append(f"{_named(machine)}: {reason}")
        else:
            yield machine
    found.problems += [f"{_all_named(machines)} {reason}" for reason, machines in unfit.items()]


def _problem(machine: Machine, at: datetime) -> str:
    """Say why the machine cannot be taken over as it is; empty if it can."""
    if owner := machine.metadata.get(marks.STACK):
        return f"belongs to stack {owner} (`reconciler release` gives its machines up)"
    if not machine.is_observable:
        return f"is {machine.doubt}"
    if not (machine.state in _RUNNING or machine.state.is_resting):
        return f"is {machine.state.value}: import it again once it has settled"
    if is_undecided(machine, at=at):
        return "was made or changed just now: import it again once it has settled"
    if len(machine.region) != 3 or not (machine.region.isascii() and machine.region.islower()):
        return f"is in region {machine.region}, which no spec can name"
    if not _NAME.fullmatch(machine.name):
        return "has a name that no spec can have: letters, digits, dashes, dots and underscores, at most 63"
    return ""


def _why_left_alone(machine: Machine, at: datetime) -> str:
    group = machine.metadata.get("fly_process_group", "")
    if group in _THROWAWAYS:
        return _THROWAWAYS[group]
    is_task = kind_of_live(machine, at=at)[0] is PoolKind.TASK
    if is_task and machine.config and machine.config.document.get("auto_destroy"):
        return "it destroys itself after its run (auto_destroy)"
    return ""


def _twice(machines: Sequence[Machine]) -> list[str]:
    counts = Counter(machine.name for machine in machines)
    return [f"{count} machines are called {name}: destroy all but one" for name, count in counts.items() if count > 1]


def _named(machine: Machine) -> str:
    return f"machine {machine.name} ({machine.id})" if machine.name else f"machine {machine.id or 'without an id'}"


def _all_named(machines: Sequence[Machine]) -> str:
    """Name the machines, or the first ones of many."""
    names = [_named(machine) for machine in machines[:_NAMED]]
    more = f" and {len(machines) - _NAMED} more" if len(machines) > _NAMED else ""
    return f"{', '.join(names)}{more}:" if len(machines) > 1 else names[0]


def _notes(pools: Sequence[LivePool]) -> list[str]:
    machines = [machine for pool in pools for machine in pool.machines]
    notes = []
    undeclared = sorted({key for one in machines for key in users_metadata(one.metadata).keys() - _declared(one)})
    if undeclared:
        notes.append(f"metadata that stays on the machines, and cannot be declared: {', '.join(undeclared)}")
    tags = sorted({str(image) for pool in pools if (image := _tag_only(pool))})
    if tags:
        notes.append(f"no digest is known of {', '.join(tags)}: plan with --resolve never, or its tag is looked up")
    leased = [f"{_named(one)} until {one.lease.expires_at:%H:%M:%S} UTC" for one in machines if one.lease]
    if leased:
        notes.append(f"leased now, so an apply waits for it: {', '.join(leased)}")
    return notes


def _tag_only(pool: LivePool) -> str | None:
    """Return the pool's image if a plan may find another digest for its tag."""
    image = reference(pool.config.get("image"))
    is_looked_up = image is not None and not image.digest and not pool.config.get("containers")
    return image.tagged if image and is_looked_up else None


def _declared(machine: Machine) -> set[str]:
    return set(declarable_metadata(machine.metadata))


def _draft(app: LiveApp, pools: Sequence[tuple[LivePool, dict[str, Any]]], variables: Variables) -> DraftMap:
    draft = DraftMap(parts=[Comment(text) for text in _head(app, pools, variables)])
    draft.put("version", 1)
    draft.put("name", app.stack)
    members = DraftMap()
    if app.org:
        members.put("org", app.org)
    shared = _shared([fields for _pool, fields in pools])
    for key, value in shared.items():
        members.put(key, block(value) if isinstance(value, Mapping) else value)
    for section, kind in (("services", PoolKind.SERVICE), ("tasks", PoolKind.TASK)):
        of_kind = [(pool, fields) for pool, fields in pools if pool.kind is kind]
        if of_kind:
            section_map = DraftMap()
            for pool, fields in of_kind:
                section_map.put(pool.name, _pool_map(pool, _without(fields, shared)))
            members.put(section, section_map)
    apps = DraftMap()
    apps.put(app.name, members)
    draft.put("apps", apps)
    return draft


def _head(app: LiveApp, pools: Sequence[tuple[LivePool, Any]], variables: Variables) -> Iterator[str]:
    count = sum(len(pool.machines) for pool, _fields in pools)
    yield (
        f"The {counted(count, 'live machine')} of the app {app.name}. `reconciler plan --adopt` shows"
        " what an apply takes over; nothing restarts by it."
    )
    if variables.values:
        yield f"Values that look secret are variables, to be set before you plan: {', '.join(variables.values)}."
    if app.secrets:
        yield f"Secrets stay on the platform, and reach the machines by their names: {', '.join(app.secrets)}."


def _shared(pools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what all of several pools have in common: image and variables."""
    first, *others = pools
    if not others:
        return {}
    shared: dict[str, Any] = {}
    if all(one["image"] == first["image"] for one in others):
        shared["image"] = first["image"]
    env = {
        key: value
        for key, value in first.get("env", {}).items()
        if all(key in one.get("env", {}) and one["env"][key] == value for one in others)
    }
    return shared | ({"env": env} if env else {})


def _without(fields: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    left = {key: value for key, value in fields.items() if key not in shared or key == "env"}
    if "env" in left:
        left["env"] = {key: value for key, value in left["env"].items() if key not in shared.get("env", {})}
    return {key: value for key, value in left.items() if value != {}}


def _pool_map(pool: LivePool, fields: Mapping[str, Any]) -> DraftMap:
    made = DraftMap()
    if pool.remark:
        made.say(pool.remark)
    made.put("count", flow({region: len(names) for region, names in pool.by_region.items()}))
    if pool.slots:
        made.put("slots", flow(pool.slots))
    for part in block(fields).parts:
        made.parts.append(part)
    return made
