"""The shapes of a config against Fly's OpenAPI document, and errors of wrong types."""

from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.engine.config.schema import CONFIG, check, kind_of
from reconciler.engine.errors import ApiFault
from tests.support.openapi import nodes_of_a_config


def of_ours(shape: Any = CONFIG, path: str = "config") -> Iterator[tuple[str, str]]:
    yield path, kind_of(shape)
    if isinstance(shape, dict):
        for name, member in shape.items():
            yield from of_ours(member, f"{path}.{'*' if name is ... else name}")
    elif isinstance(shape, list):
        yield from of_ours(shape[0], f"{path}[]")


def test_the_shapes_are_the_documents() -> None:
    of_the_document = {
        f"config.{path}".rstrip("."): "object" if "properties" in schema else schema.get("type", "object")
        for path, schema in nodes_of_a_config()
    }
    assert dict(of_ours()) == of_the_document


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ([], "config must be an object"),
        ({"env": {"A": 1}}, "config.env.A must be a string"),
        ({"services": {}}, "config.services must be an array"),
        ({"services": [{"internal_port": True}]}, "config.services[0].internal_port must be a whole number"),
        ({"services": [{"autostop": 1}]}, "config.services[0].autostop must be a string or true or false"),
        ({"stop_config": {"timeout": True}}, "config.stop_config.timeout must be"),
        ({"checks": {"a": {"headers": ["b"]}}}, "config.checks.a.headers[0] must be an object"),
    ],
)
def test_a_wrong_kind_is_refused_with_its_place(config: Any, words: str) -> None:
    with pytest.raises(ApiFault) as refused:
        check(config, CONFIG, "config")
    assert words in refused.value.text


@pytest.mark.parametrize("config", [{}, {"env": None}, {"of": {"the": ["future"]}}, {"stop_config": {"timeout": 5e9}}])
def test_what_is_null_or_not_known_may_be_anything(config: Any) -> None:
    check(config, CONFIG, "config")
