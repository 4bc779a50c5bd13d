"""A journey, for the tests of this directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.testing.virtual import VirtualEngine
from tests.support.journey import Journey


@pytest.fixture
def journey(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journey]:
    """A user in an empty directory, who reads the module's PAGE."""
    directory = tmp_path / "shop"
    directory.mkdir()
    with VirtualEngine() as engine:
        yield Journey(engine, directory, request.module.PAGE)
