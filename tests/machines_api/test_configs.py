"""Of equal configs of a list one is understood, and each is what it would be alone."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.machines_api import configs
from reconciler.machines_api.configs import Configs, understood
from reconciler.model.config import JsonObject, SharedDocument

PLAIN = st.none() | st.booleans() | st.sampled_from([0, 1, 1.0, 2**70, "", "1", "true"])
SECTION = PLAIN | st.lists(PLAIN | st.just({}), max_size=2) | st.dictionaries(st.sampled_from("ab"), PLAIN, max_size=2)
CONFIG = st.dictionaries(st.sampled_from(["image", "env", "metadata", "services", "init", "later"]), SECTION)


@given(st.lists(CONFIG, max_size=6))
def test_each_is_understood_as_it_would_be_alone(listed: list[dict[str, Any]]) -> None:
    together = Configs()
    for config in listed:
        document, not_understood = together.understood(config)
        assert json.dumps([dict(document), not_understood]) == json.dumps(understood(config))


def test_equal_ones_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[dict[str, Any]] = []
    shared: list[JsonObject] = []

    def counted(config: dict[str, Any]) -> configs.Understood:
        looked_at.append(config)
        return understood(config)

    monkeypatch.setattr(configs, "understood", counted)
    together = Configs()
    for number in range(100):
        config, _ = together.understood({"env": {"A": "1"}, "metadata": {"slot": f"work-iad-{number}"}})
        assert config["metadata"] == {"slot": f"work-iad-{number}"}
        assert isinstance(config, SharedDocument)
        shared.append(config.bare)
    assert len(looked_at) == 1
    assert all(one is shared[0] for one in shared)


def test_one_that_is_nested_too_deeply_is_no_failure() -> None:
    nested: dict[str, Any] = {}
    for _ in range(100_000):
        nested = {"a": nested}
    config, not_understood = Configs().understood({"guest": nested, "metadata": {"slot": "s"}})
    assert config == {"metadata": {"slot": "s"}}
    assert not_understood == ("config",)
