"""The pytest plugin: the fixtures `live_engine` and `virtual_engine`.

They are for tests of code that talks to the Machines API; docs/how-to/testing.md shows how. Only pytest is imported
until a test asks for one of them. The modules:

- `live.py`, `server_thread.py`: LiveEngine, which serves HTTP from a thread and really runs commands.
- `virtual.py`, `virtual_time.py`, `scripted.py`, `transport.py`: VirtualEngine, in process, where time is virtual and
  commands are scripts.
- `fixture.py`: what both offer to a test; `controller.py`: how that is done inside the engine.
"""

import inspect
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from reconciler.testing.live import LiveEngine
    from reconciler.testing.virtual import VirtualEngine

__all__ = ["LiveEngine", "VirtualEngine"]  # imported when they are used
_MARK = "engine_settings"
_VIRTUAL = "virtual_engine"


def __getattr__(name: str) -> Any:
    if name == "LiveEngine":
        from reconciler.testing.live import LiveEngine

        return LiveEngine
    if name == "VirtualEngine":
        from reconciler.testing.virtual import VirtualEngine

        return VirtualEngine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line(
        "markers",
        f"{_MARK}(latency=, behaviour=, limits_rates=): how the fixtures' engine behaves; the closest mark wins",
    )


@pytest.fixture
def live_engine(request: pytest.FixtureRequest) -> "Iterator[LiveEngine]":
    """Give the test an engine on loopback that really runs commands."""
    from reconciler.testing.live import LiveEngine

    with ExitStack() as held:
        engine = _started(LiveEngine(**_settings(request)), held)
        yield engine
        request.node.add_report_section("teardown", "engine", engine.story())


@pytest.fixture
def virtual_engine(request: pytest.FixtureRequest) -> "Iterator[VirtualEngine]":
    """Give the test an engine in process, on virtual time, with scripted commands.

    The test may be `async def`.
    """
    from reconciler.testing.virtual import VirtualEngine

    with VirtualEngine(**_settings(request)) as engine:
        yield engine
        request.node.add_report_section("teardown", "engine", engine.story())


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test that uses `virtual_engine` on that engine's loop.

    No other plugin is needed for it.
    """
    if _VIRTUAL not in pyfuncitem.fixturenames or not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    engine: Any = pyfuncitem.funcargs[_VIRTUAL]
    engine.run(pyfuncitem.obj(**given))
    return True


def _started(engine: "LiveEngine", held: ExitStack) -> "LiveEngine":
    """Start the engine, to be ended with `held`; fail the test where it cannot start."""
    from reconciler.engine.errors import EngineStartError

    try:
        return held.enter_context(engine)
    except EngineStartError as error:
        pytest.fail(f"the engine does not start: {error}", pytrace=False)
    except OSError as error:
        how = "its files are temporary ones: set TMPDIR to a directory that you can write to"
        pytest.fail(f"the engine does not start: {error}; {how}", pytrace=False)


def _settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what the marks say.

    A test's overrides its class's, which overrides the module's.
    """
    settings: dict[str, Any] = {}
    for mark in reversed(list(request.node.iter_markers(_MARK))):
        settings |= mark.kwargs
        if mark.args:
            pytest.fail(f"the mark {_MARK} takes keywords only: latency, behaviour, limits_rates", pytrace=False)
    return settings
