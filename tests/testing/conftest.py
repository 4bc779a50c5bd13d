"""Runs of pytest within these tests load no plugin of our own tools: schemathesis and hypothesis take most of two seconds."""

import pytest


@pytest.fixture(autouse=True)
def light_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:schemathesis -p no:hypothesispytest")
