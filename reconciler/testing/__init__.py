"""The pytest plugin: `live_engine` and `virtual_engine`, for tests of code that talks to the Machines API.

docs/testing.md shows how. Nothing but pytest is imported until a test asks for one of them.
"""

import inspect
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from reconciler.testing.live import LiveEngine
    from reconciler.testing.virtual import VirtualEngine

_MARK = "engine_settings"
_VIRTUAL = "virtual_engine"


def pytest_configure(config: pytest.Config) -> None:
    """Registers the mark."""
    config.addinivalue_line(
        "markers",
        f"{_MARK}(latency=, behaviour=, limits_rates=): how the fixtures' engine behaves; the closest mark wins",
    )


@pytest.fixture
def live_engine(request: pytest.FixtureRequest) -> "Iterator[LiveEngine]":
    """An engine for this test: HTTP on loopback, and commands that really run. Nothing of it is left at the end."""
    from reconciler.testing.live import LiveEngine

    with ExitStack() as held:
        engine = _started(LiveEngine(**_settings(request)), held)
        yield engine
        request.node.add_report_section("teardown", "engine", engine.story())


@pytest.fixture
def virtual_engine(request: pytest.FixtureRequest) -> "Iterator[VirtualEngine]":
    """An engine for this test: in process, on virtual time, with scripted commands. The test may be `async def`."""
    from reconciler.testing.virtual import VirtualEngine

    with VirtualEngine(**_settings(request)) as engine:
        yield engine
        request.node.add_report_section("teardown", "engine", engine.story())


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs an `async def` test that uses `virtual_engine` on that engine's loop: no other plugin is needed."""
    if _VIRTUAL not in pyfuncitem.fixturenames or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    engine: Any = pyfuncitem.funcargs[_VIRTUAL]
    engine.run(pyfuncitem.obj(**given))
    return True


def _started(engine: "LiveEngine", held: ExitStack) -> "LiveEngine":
    """The engine, which ends with the stack; a failure in words where this computer has no place for it."""
    from reconciler.engine.errors import EngineStartError

    try:
        return held.enter_context(engine)
    except EngineStartError as error:
        pytest.fail(f"the engine does not start: {error}", pytrace=False)
    except OSError as error:
        how = "its files are temporary ones: set TMPDIR to a directory that you can write to"
        pytest.fail(f"the engine does not start: {error}; {how}", pytrace=False)


def _settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the marks say: of the module, then of the class, then of the test."""
    settings: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(_MARK))):
        settings |= mark.kwargs
        if mark.args:
            pytest.fail(f"the mark {_MARK} takes keywords only: latency, behaviour, limits_rates", pytrace=False)
    return settings
