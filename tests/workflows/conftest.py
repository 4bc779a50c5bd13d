"""A repository on GitHub, and an engine in the place of Fly."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.testing.live import LiveEngine
from tests.support.github_api import github_api
from tests.support.github_repository import Repository
from tests.support.team import SPEC, Team
from tests.support.workflows import Runner


@pytest.fixture
def team(tmp_path: Path, live_engine: LiveEngine, warm: Path) -> Iterator[Team]:
    repository = Repository(tmp_path / "origin", {"machines.yaml": SPEC})
    token = live_engine.token
    secrets = {
        "": {"FLY_READONLY_TOKEN": token},
        "production": {"FLY_DEPLOY_TOKEN": token},
        "previews": {"FLY_PREVIEW_TOKEN": token},
    }
    variables = {
        "FLY_FLAPS_BASE_URL": live_engine.url,
        "FLY_API_BASE_URL": live_engine.url,
        "RECONCILER_HOME": str(tmp_path / "home"),
        "RECONCILER_RESOLVE": "never",
    }
    with github_api(repository) as api:
        runner = Runner(tmp_path / "jobs", api, variables, secrets, installed=warm)
        yield Team(repository, api, live_engine, runner, {})
