"""Each field of a pool, as the table in canonical/sections.py declares it: there and back, drift, levels, `config:`.

The first tests ask whether the steps of CONTRIBUTING, "Adding a spec field", were done; each names its step.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from reconciler.canonical.digest import section_digests
from reconciler.canonical.normalize import canonical
from reconciler.canonical.sections import FIELDS, SECTIONS, Field, Merge, RawConfig, section_named
from reconciler.errors import SpecError
from reconciler.model import marks
from reconciler.model.change import Cause
from reconciler.model.config import MachineConfig
from reconciler.model.spec import Pool
from reconciler.planner.diff import Differ
from reconciler.spec import load_spec
from reconciler.spec.schema import spec_schema
from reconciler.spec.shape import properties_of
from tests.support.field_examples import EXAMPLES

ROOT = Path(__file__).parents[2]
STEPS = 'step {} of "Adding a spec field" in CONTRIBUTING.md: '
SUPPORTED = [field for field in FIELDS if not field.unsupported]
WITH_EXAMPLES = [field for field in SUPPORTED if field.name in EXAMPLES]
OF_THE_CONFIG = [field for field in WITH_EXAMPLES if field.path]
DEFINITIONS = ("defaults", "app", "task", "service")
OF_THE_FIRST_RELEASE = (
    "args build checks command config count entrypoint env files guest image launch metadata overrides ports processes"
    " protect regions restart schedule stop timeout"
)


def load(field: Field, **levels: str) -> Pool:
    """Return the pool of a spec whose defaults, app and pool give the field these values."""
    example = EXAMPLES[field.name]
    image = "" if field.name in {"image", "build"} else "image: i:1"
    lines = {level: f"{field.name}: {value}" for level, value in levels.items()}
    beside = [example.beside, levels.get("beside", "")]
    text = "\n".join(
        [
            "version: 1",
            "name: s",
            *(["defaults:", f"  {lines['defaults']}"] if "defaults" in levels else []),
            "apps:",
            "  a:",
            *(f"    {line}" for line in (image, lines.get("app", "")) if line),
            f"    {example.kind}:",
            "      p:",
            *(f"        {line}" for line in (*beside, lines.get("pool", "")) if line),
        ]
    )
    (pool,) = load_spec(
        text + "\n" if lines.get("pool") or any(beside) else text + " {}", file="f", environment={}
    ).pools
    return replace(pool, place=None)


def refusal(field: Field, **levels: str) -> str:
    with pytest.raises(SpecError) as caught:
        load(field, **levels)
    return "\n".join(f"{one.message}\n{one.hint}" for one in caught.value.diagnostics)


def bare(field: Field) -> dict[str, Any]:
    """Return the config of the pool without the field."""
    if field.name == "image":
        return {key: value for key, value in load(field, pool="i:1").config.document.items() if key != "image"}
    return dict(load(next(one for one in FIELDS if one.name == "protect"), pool="false").config.document)


def differences(desired: dict[str, Any], live: dict[str, Any], applied: dict[str, Any]) -> dict[str, Cause]:
    """Return what differs on a machine to which `applied` was applied, by its path."""
    mark = {marks.FIELDS: section_digests(MachineConfig(document=applied))}
    metadata = {**live.get("metadata", {}), **mark, marks.KEYS: ",".join(applied.get("metadata", {}))}
    config = canonical(MachineConfig(document=desired))
    found = Differ().differences(config, MachineConfig(document={**live, "metadata": metadata}))
    return {one.path: one.cause for one in found}


def test_step_1_the_schema_describes_each_field() -> None:
    schema = spec_schema()
    described = {name for one in DEFINITIONS for name in properties_of(schema["$defs"][one], schema)}
    missing = {field.name for field in FIELDS} - described
    assert not missing, STEPS.format(1) + f"describe {sorted(missing)} in schemas/spec.schema.json"


def test_step_2_the_table_has_each_field_of_the_schema() -> None:
    schema = spec_schema()
    described = {name for one in DEFINITIONS for name in properties_of(schema["$defs"][one], schema)}
    missing = described - {field.name for field in FIELDS} - {"name", "org", "tasks", "services", "addresses"}
    assert not missing, STEPS.format(2) + f"declare {sorted(missing)} in reconciler/canonical/sections.py"


def test_step_2_the_section_of_each_field_is_declared_and_leaves_it_what_it_says() -> None:
    for field in SUPPORTED:
        section = section_named(field.path.partition(".")[0]) if field.path else None
        assert section or not field.path, STEPS.format(2) + f"declare the section of {field.path} too"
        if section:
            why = f"say by `raw_config` what `config:` may say of {section.name} beside `{field.name}`"
            assert section.raw_config is not RawConfig.ALL, STEPS.format(2) + why


def test_step_3_each_field_has_an_example() -> None:
    missing = [field.name for field in SUPPORTED if field.name not in EXAMPLES]
    assert not missing, STEPS.format(3) + f"give an example of {missing} in tests/support/field_examples.py"


def test_step_1_the_reference_has_each_field_in_its_table() -> None:
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", (ROOT / "docs/reference/spec.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    missing = [field.name for field in SUPPORTED if field.name not in named]
    assert not missing, STEPS.format(1) + f"run `python tools/reference.py`: docs/reference/spec.md lacks {missing}"


def test_step_4_the_changelog_has_each_field_since_the_first_release() -> None:
    named = re.findall(r"`(\w+)(?:`|: )", (ROOT / "CHANGELOG.md").read_text())
    missing = [field.name for field in SUPPORTED if field.name not in {*named, *OF_THE_FIRST_RELEASE.split()}]
    assert not missing, STEPS.format(4) + f"list {missing} in CHANGELOG.md, under Unreleased"


def test_step_5_the_local_engine_honours_each_field_or_its_document_says_that_it_does_not() -> None:
    """`config/schema.py` and `config/defaults.py` say only which members there are, and which come back."""
    files = (ROOT / "reconciler" / "engine").rglob("*.py")
    engine = "".join(one.read_text() for one in files if one.name not in {"schema.py", "defaults.py"})
    undone = (ROOT / "docs" / "explanation" / "engine-fidelity.md").read_text().partition("## What it does not do")[2]
    members = {field.path.rpartition(".")[2] for field in SUPPORTED if field.path}
    missing = {one for one in members if f'"{one}"' not in engine and f"`{one}`" not in undone}
    page = "docs/explanation/engine-fidelity.md, What it does not do"
    what = f"read {sorted(missing)} in reconciler/engine, or add it to {page}"
    assert not missing, STEPS.format(5) + what


@pytest.mark.parametrize("field", OF_THE_CONFIG, ids=lambda one: one.name)
def test_there_and_back_are_changes_of_the_spec(field: Field) -> None:
    example = EXAMPLES[field.name]
    before, after = bare(field), dict(load(field, pool=example.value).config.document)
    assert example.path is not None
    there, back = differences(after, before, before), differences(before, after, after)
    for found in (there, back):
        assert any(path == example.path or path.startswith(example.path.partition(".")[0]) for path in found), found
        assert {*found.values()} == {Cause.SPEC}
    assert differences(after, after, after) == {}


@pytest.mark.parametrize("section", [one.name for one in SECTIONS if one.kind is dict and one.name != "metadata"])
def test_a_member_that_the_spec_no_longer_has_is_a_change_of_the_spec(section: str) -> None:
    """Who adds a member to what was applied has not changed the spec: that counts where no server adds any."""
    both, one = {section: {"a": {"x": "1"}, "b": {"y": "2"}}}, {section: {"a": {"x": "1"}}}
    assert differences(one, both, both) == {f"{section}.b": Cause.SPEC}
    added = differences(one, both, one)
    assert added == ({f"{section}.b": Cause.DRIFT} if section in {"env", "checks"} else {})


@pytest.mark.parametrize("field", OF_THE_CONFIG, ids=lambda one: one.name)
def test_what_someone_else_changed_is_drift(field: Field) -> None:
    example = EXAMPLES[field.name]
    desired, live = (dict(load(field, pool=value).config.document) for value in (example.value, example.other))
    found = differences(desired, live, desired)
    assert found
    assert {*found.values()} == {Cause.DRIFT}


@pytest.mark.parametrize("field", WITH_EXAMPLES, ids=lambda one: one.name)
def test_a_level_gives_its_value_to_those_that_lie_over_it(field: Field) -> None:
    value, other = EXAMPLES[field.name].value, EXAMPLES[field.name].other
    alone = load(field, pool=value)
    assert load(field, defaults=value) == load(field, app=value) == alone != load(field, pool=other)
    over = load(field, defaults=other, pool=value)
    match field.merge:
        case Merge.WHOLE:
            assert over == alone == load(field, defaults=other, app=value)
        case Merge.BY_KEY | Merge.DEEP:
            joined = yaml.safe_load(other) | yaml.safe_load(value)
            assert over == load(field, pool=json.dumps(joined))


@pytest.mark.parametrize("field", OF_THE_CONFIG, ids=lambda one: one.name)
def test_config_beside_it_is_refused_and_the_way_that_works_is_named(field: Field) -> None:
    value = EXAMPLES[field.name].value
    section, _, member = (field.path or "").partition(".")
    made = load(field, pool=value).config.document[section]
    raw = {section: {member: made[member]} if member else made}
    said = refusal(field, pool=value, beside=f"config: {json.dumps(raw)}")
    assert f"`config.{section}" in said
    assert "has a field of its own" in said
    assert f"use `{field.name}`" in said


@pytest.mark.parametrize("field", OF_THE_CONFIG, ids=lambda one: one.name)
def test_config_in_its_place_makes_the_same_config(field: Field) -> None:
    """So a spec that has said it under `config:` since before there was the field plans nothing new."""
    section, _, member = (field.path or "").partition(".")
    declared = section_named(section)
    assert declared is not None
    if declared.raw_config is RawConfig.NOTHING:
        return
    document = load(field, pool=EXAMPLES[field.name].value).config.document
    raw = {section: {member: document[section][member]} if member else document[section]}
    other = next(one for one in FIELDS if one.name == ("rollout" if field.only else "protect"))
    value = EXAMPLES[other.name].value
    assert load(other, pool=value, beside=f"config: {json.dumps(raw)}").config.document == document


def test_null_under_config_takes_away_what_the_defaults_say_there() -> None:
    for section in (one.name for one in SECTIONS if one.raw_config is RawConfig.MEMBERS):
        field = next(one for one in FIELDS if one.name == "config")
        nothing = f"{{{section}: null}}"
        configs = [load(field, pool=nothing), load(field, defaults=f"{{{section}: {{a: b}}}}", pool=nothing)]
        assert [canonical(one.config) for one in configs] == [canonical(MachineConfig(document=bare(field)))] * 2


@pytest.mark.parametrize("field", WITH_EXAMPLES, ids=lambda one: one.name)
def test_a_value_of_another_shape_is_refused_where_it_stands(field: Field) -> None:
    with pytest.raises(SpecError) as caught:
        load(field, pool=EXAMPLES[field.name].wrong)
    assert all(one.place.line > 5 for one in caught.value.diagnostics)


@pytest.mark.parametrize("field", [one for one in FIELDS if one.unsupported], ids=lambda one: one.name)
def test_a_field_that_does_not_work_yet_is_refused_with_what_to_do(field: Field) -> None:
    text = f"version: 1\nname: s\napps: {{a: {{image: i, tasks: {{p: {{{field.name}: []}}}}}}}}"
    with pytest.raises(SpecError) as caught:
        load_spec(text, file="f", environment={})
    (found,) = caught.value.diagnostics
    assert (found.message, found.hint) == (f"`{field.name}` is not supported yet", field.unsupported)
