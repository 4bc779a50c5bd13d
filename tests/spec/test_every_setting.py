"""Each setting of the API's machine config can be said in a spec; where one way is refused, the error names another.

The settings are the leaves of `fly.MachineConfig` in Fly's OpenAPI document.
"""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.canonical.sections import FIELDS, SECTIONS, RawConfig, fields_that_say, section_named
from reconciler.errors import SpecError
from reconciler.model.machine import Observed, ObservedApp
from reconciler.model.spec import PoolKind
from reconciler.planner.planner import plan as make_plan
from reconciler.spec import load_spec
from tests.support.config_properties import OF_A_SERVICE, OURS, PROPERTIES, Property
from tests.support.openapi import leaves_of_a_config, nodes_of_a_config

KINDS = ("tasks", "services")
OF_A_TASK = "schedule"
# A value of each field that says a whole section or a member of one.
DECLARED: dict[str, Any] = {
    "command": ["x"],
    "args": ["x"],
    "entrypoint": ["x"],
    "processes": [{"command": ["x"]}],
    "guest": {"cpus": 1, "memory_mb": 256},
    "restart": {"policy": "always"},
    "files": [{"path": "/a", "content": "b"}],
    "stop": {"signal": "SIGTERM", "timeout": "5s"},
    "ports": [{"internal_port": 8080}],
    "checks": {"up": {"port": 8080}},
}
SETTINGS_OF_FIELDS = [
    one for one in PROPERTIES if re.match(r"(processes|guest|restart|files|stop_config|services|checks)\b", one.path)
]
SETTINGS_OF_FIELDS += [one for one in PROPERTIES if one.path in {"init.exec[]", "init.cmd[]", "init.entrypoint[]"}]


def planned(lines: str, kind: str) -> dict[str, Any]:
    """Return the config that a plan of a pool with these lines makes a machine with."""
    body = "".join(f"        {line.strip()}\n" for line in lines.splitlines())
    text = f"version: 1\nname: s\napps:\n  app:\n    image: i:1\n    {kind}:\n      work:\n{body}"
    spec = load_spec(text, file="machines.yaml", environment={})
    nothing = Observed(apps={"app": ObservedApp(name="app", exists=True)}, at=datetime(2026, 1, 1, tzinfo=UTC))
    (change,) = make_plan(spec, nothing).changes
    assert change.desired is not None
    return dict(change.desired.config.document)


def refusal(lines: str, kind: str) -> str:
    """Return the one error that a pool with these lines gets, with its hint."""
    with pytest.raises(SpecError) as caught:
        planned(lines, kind)
    return "\n".join(f"{one.message}\n{one.hint}" for one in caught.value.diagnostics)


def section_of(one: Property) -> str:
    return one.path.partition(".")[0].removesuffix("[]")


def in_config(one: Property) -> str:
    return f"config: {json.dumps(one.document(one.values[0]))}"


def kind_of(section: str) -> str:
    return "services" if section in {"services", "checks"} else "tasks"


def kinds_of(one: Property) -> tuple[str, ...]:
    return {OF_A_SERVICE: ("services",), OF_A_TASK: ("tasks",)}.get(one.path, KINDS)


def is_within(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(is_within(value, whole.get(key)) for key, value in part.items())
    return bool(part == whole)


def test_the_table_has_each_section_of_the_document_and_its_kind() -> None:
    kinds = {"string": str, "boolean": bool, "array": list, "object": dict}
    document = {
        path: kinds[schema.get("type", "object")]
        for path, schema in nodes_of_a_config()
        if path and re.fullmatch(r"\w+", path)
    }
    assert {one.name: one.kind for one in SECTIONS} == document
    assert len(PROPERTIES) + 1 == len(list(leaves_of_a_config()))  # and the deprecated `size`


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("one", PROPERTIES, ids=lambda one: one.path)
def test_a_setting_arrives_in_the_planned_config(one: Property, kind: str) -> None:
    if kind not in kinds_of(one):
        refusal(OURS.get(one.path, (in_config(one),))[0], kind)
    elif one.path in OURS:
        section = section_of(one)
        first, second = (planned(lines, kind)[section] for lines in OURS[one.path])
        assert first != second
    else:
        assert is_within(one.document(one.values[0]), planned(in_config(one), kind))


def test_the_deprecated_size_is_said_by_its_field() -> None:
    for kind in KINDS:
        for lines in ("config: {size: shared-cpu-2x}", "size: shared-cpu-2x"):
            assert "use `guest`" in refusal(lines, kind)
        assert planned("guest: shared-cpu-2x", kind)["guest"]["cpus"] == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("section", [one.name for one in SECTIONS])
def test_a_section_outside_of_config_is_a_field_or_names_the_way_that_works(section: str, kind: str) -> None:
    of_kind = PoolKind.TASK if kind == "tasks" else PoolKind.SERVICE
    if section == OF_A_TASK or any(one.name == section and one.only in {None, of_kind} for one in FIELDS):
        return
    said = refusal(f"{section}: []", kind)
    used, _, _ = said.partition("or put it under")
    fields = re.findall(r"`(\w+)`", used.partition("use ")[2])
    assert {*fields} <= {one.name for one in FIELDS}
    assert fields or f"`config: {{{section}: …}}`" in said, said


@pytest.mark.parametrize("one", SETTINGS_OF_FIELDS, ids=lambda one: one.path)
def test_beside_a_field_config_names_the_way_that_works(one: Property) -> None:
    name = section_of(one)
    section = section_named(name)
    assert section is not None
    path = name if section.raw_config is RawConfig.INSTEAD else ".".join(one.parts[:2])
    for field in fields_that_say(path):
        declared = f"{field.name}: {json.dumps(DECLARED[field.name])}"
        said = refusal(f"{declared}\n{in_config(one)}", kind_of(name))
        assert "has a field of its own" in said
        used = re.search(r"use `(\w+)`", said)
        assert used or f"leave `{field.name}` out" in said
        if used:
            assert planned(f"{used[1]}: {json.dumps(DECLARED[used[1]])}", kind_of(name))
        if section.raw_config is RawConfig.INSTEAD:
            assert "or leave it out and say all of it under `config`" in said


@pytest.mark.parametrize("one", SETTINGS_OF_FIELDS, ids=lambda one: one.path)
def test_an_unknown_member_of_a_field_names_the_way_that_works(one: Property) -> None:
    """A member that the field has too, by the same name, is refused or taken for its value."""
    name = section_of(one)
    value: Any = one.document(one.values[0])[name]
    value = value[0] if isinstance(value, list) else value.get("a", value)
    for field in (field for field in FIELDS if field.path == name):
        declared = json.loads(json.dumps(DECLARED[field.name]))
        first = declared[0] if isinstance(declared, list) else declared.get("up", declared)
        first |= value
        try:
            planned(f"{field.name}: {json.dumps(declared)}", kind_of(name))
        except SpecError as error:
            unknown = [one for one in error.diagnostics if one.message.startswith("unknown key")]
            assert all(f"`config: {{{name}: …}}`" in str(one.hint) for one in unknown)
