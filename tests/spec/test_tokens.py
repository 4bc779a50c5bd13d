"""The variables of the tool's own tokens: refused at each place whose value is shown, taken where it is masked."""

import pytest

from reconciler.errors import SpecError
from reconciler.model.spec import Spec
from reconciler.spec import load_spec

SPEC = """version: 1
name: {name}
apps:
  app:
    {app}
    tasks:
      work:
        {pool}
"""
ENVIRONMENT = {"FLY_API_TOKEN": "fm2_the-token", "GITHUB_TOKEN": "ghp_the-token", "TAG": "1"}


def load(*, name: str = "stack", app: str = "image: i", pool: str = "command: ['true']") -> Spec:
    text = SPEC.format(name=name, app=app, pool=pool)
    return load_spec(text, file="machines.yaml", environment=ENVIRONMENT)


@pytest.mark.parametrize("token", ["${FLY_API_TOKEN}", "a ${GITHUB_TOKEN:-none}", "${ACTIONS_RUNTIME_TOKEN:?set it}"])
@pytest.mark.parametrize(
    "field",
    [
        "command: [run, 'TOKEN']",
        "command: 'TOKEN'",
        "args: ['TOKEN']",
        "entrypoint: ['TOKEN']",
        "image: 'r.example/a:TOKEN'",
        "build: {context: ., args: {A: 'TOKEN'}}",
        "metadata: {env: 'TOKEN'}",
        "config: {dns: {nameservers: ['TOKEN']}}",
        "config: {env: {A: 'TOKEN'}}",
        "regions: ['TOKEN']",
        "files: [{path: '/TOKEN', content: a}]",
        "processes: [{command: ['TOKEN'], env: {A: b}}]",
        "overrides: {env: ['TOKEN']}",
        "timeout: 'TOKEN'",
    ],
)
def test_a_token_is_refused_where_its_value_would_be_shown(field: str, token: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(pool=field.replace("TOKEN", token))
    found = [one for one in caught.value.diagnostics if "is a token" in one.message]
    assert [(one.place.file, one.place.line) for one in found] == [("machines.yaml", 8)]
    assert found[0].place.column > 9
    assert "`env`" in str(found[0].hint)
    assert "the-token" not in repr(caught.value.diagnostics)


@pytest.mark.parametrize("where", [{"name": "s-${GITHUB_TOKEN}"}, {"app": "org: ${GITHUB_TOKEN}\n    image: i"}])
def test_names_take_none_either(where: dict[str, str]) -> None:
    with pytest.raises(SpecError) as caught:
        load(**where)
    assert any("${GITHUB_TOKEN} is a token" in one.message for one in caught.value.diagnostics)


@pytest.mark.parametrize(
    ("pool", "app"),
    [
        ("env: {A: '${FLY_API_TOKEN}'}", "image: i"),
        ("command: ['true']", "image: i\n    env: {A: '${GITHUB_TOKEN:-none}'}"),
        ("files: [{path: /a, content: 'x ${GITHUB_TOKEN}'}]", "image: i"),
        ("processes: [{command: [a], env: {A: '${GITHUB_TOKEN}'}}]", "image: i"),
        ("command: ['${TAG}']", "image: i:${TAG}"),
    ],
)
def test_a_token_is_taken_where_every_output_masks_it(pool: str, app: str) -> None:
    load(pool=pool, app=app)


def test_an_alias_does_not_carry_a_token_from_a_masked_place_to_a_shown_one() -> None:
    for order in (("env: {A: &t '${GITHUB_TOKEN}'}", "args: [*t]"), ("args: [&t '${GITHUB_TOKEN}']", "env: {A: *t}")):
        with pytest.raises(SpecError, match="1 error"):
            load(pool="\n        ".join(order))


@pytest.mark.parametrize("label", ["env", "files", "secrets"])
def test_a_pool_or_app_that_is_called_like_a_masked_field_masks_nothing(label: str) -> None:
    text = SPEC.replace("  app:", f"  {label}:").replace("      work:", f"      {label}:")
    text = text.format(name="stack", app="image: i", pool="args: ['${GITHUB_TOKEN}']")
    with pytest.raises(SpecError) as caught:
        load_spec(text, file="machines.yaml", environment=ENVIRONMENT)
    assert "is a token" in caught.value.diagnostics[0].message
