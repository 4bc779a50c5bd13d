"""Runs of pytest within these tests load no plugin of our own tools: schemathesis takes a second for its own."""

import pytest


@pytest.fixture(autouse=True)
def light_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:schemathesis")
