"""Planner cases as folders of tests/cases/plan, and the plan of each."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from reconciler.machines_api.ip_addresses import addresses_from_json
from reconciler.machines_api.wire import machines_from_json
from reconciler.model.machine import Observed, ObservedApp
from reconciler.model.plan import Plan
from reconciler.model.revision import numbered
from reconciler.model.selection import Selection
from reconciler.model.spec import Spec
from reconciler.planner.desired import desired_machine
from reconciler.planner.planner import plan as make_plan
from reconciler.slots.ownership_metadata import metadata_for_create
from reconciler.spec import load_spec

ROOT = Path(__file__).parent.parent / "cases" / "plan"
CASES = sorted(path.name for path in ROOT.iterdir())


def read_spec(path: Path) -> Spec:
    return load_spec(path.read_text(), file=path.name, environment={})


def applied_machines(spec: Spec) -> dict[str, dict[str, dict[str, Any]]]:
    """By app and name, the JSON of the machines that an apply of the spec makes."""
    worlds: dict[str, dict[str, dict[str, Any]]] = {}
    for app in spec.apps:
        machines = worlds.setdefault(app.name, {})
        for pool in app.pools:
            assert pool.anchor or not pool.slots
            for slot in pool.slots:
                desired = desired_machine(pool, slot, anchor=pool.anchor.name if pool.anchor else None)
                metadata = metadata_for_create(replace(desired, counts=None), stack=spec.stack, attempt="01")
                machines[slot.name] = {
                    "id": f"id-{slot.name}",
                    "name": slot.name,
                    "region": slot.region,
                    "state": "stopped" if pool.kind.value == "task" else "started",
                    "instance_id": "01",
                    "config": pool.config.with_metadata(metadata).document,
                    "created_at": "2026-01-01T00:00:00Z",
                }
    return worlds


def merged(value: Any, patch: Any) -> Any:
    """JSON merge patch: maps are merged, null takes a member away, anything else replaces."""
    if not isinstance(patch, dict):
        return patch
    base = dict(value) if isinstance(value, dict) else {}
    for key, member in patch.items():
        if member is None:
            base.pop(key, None)
        else:
            base[key] = merged(base.get(key), member)
    return base


def observed_of(folder: Path, spec: Spec, *, shuffle: random.Random | None = None) -> Observed:
    applied, patches = folder / "applied.yaml", folder / "observed.json"
    worlds = applied_machines(read_spec(applied)) if applied.exists() else {}
    if patches.exists():
        worlds = merged(worlds, json.loads(patches.read_text()))
    listed = folder / "addresses.json"
    addresses = json.loads(listed.read_text()) if listed.exists() else {}
    apps = {}
    for app in spec.apps:
        machines = list(worlds.get(app.name, {}).values())
        count = next((one["machine_count"] for one in machines if "machine_count" in one), None)
        machines = [one for one in machines if "machine_count" not in one]
        if shuffle:
            shuffle.shuffle(machines)
        apps[app.name] = ObservedApp(
            name=app.name,
            exists=app.name in worlds,
            machines=machines_from_json(app.name, machines),
            reported_count=count,
            ip_addresses=addresses_from_json({"ips": addresses.get(app.name)}),
        )
    return Observed(apps=apps, at=datetime(2026, 1, 1, tzinfo=UTC))


def plan_of(folder: Path, **options: Any) -> Plan:
    spec = read_spec(folder / "spec.yaml")
    return make_plan(spec, observed_of(folder, spec, **options), **asked_in(folder))


def asked_in(folder: Path) -> dict[str, Any]:
    """Options of the planner."""
    asked = folder / "options.json"
    more: dict[str, Any] = json.loads(asked.read_text()) if asked.exists() else {}
    if "selection" in more:
        more["selection"] = Selection(**{name: tuple(names) for name, names in more["selection"].items()})
    return more | ({"revision": numbered(more["revision"])} if "revision" in more else {})
