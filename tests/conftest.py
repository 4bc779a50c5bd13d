"""Run `async def` tests on virtual time, and give them a `world` on it. Let hypothesis try the same cases at each run,
so that a failure is of the change at hand; RECONCILER_EXPLORE=1 looks further. Time is not a property here.
"""

import asyncio
import gc
import importlib
import inspect
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from reconciler.testing.virtual_time import VirtualLoop
from tests.support.warm_python import warm_python
from tests.support.world import World, open_world

settings.register_profile(
    "reconciler",
    deadline=None,
    derandomize=not os.environ.get("RECONCILER_EXPLORE"),
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("reconciler")


def pytest_configure() -> None:
    """Let Python keep what it compiles, here and in the processes that tests start: else each compiles it all anew.

    Let SIGINT interrupt: a shell script ignores it in what it starts with `&`, and tests of Ctrl-C would wait for ever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request in process, which nothing reads


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what lives to the end: a million objects of modules and collected tests."""
    gc.collect()
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int:
    """Let half as many tests more run as there are cores: many of them wait for a process or a server."""
    return -(-len(os.sched_getaffinity(0)) * 3 // 2)


@pytest.fixture(scope="session")
def warm() -> Iterator[Path]:
    """A folder with a `bin/python` that runs reconciler, and the action's own scripts, without importing them first."""
    with warm_python() as folder:
        yield folder


@pytest.fixture
def virtual_time() -> Iterator[asyncio.Runner]:
    """The loop on virtual time that an `async def` test and its fixtures share."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner


@pytest.fixture(params=["asyncio", "uvloop"])
def real_time(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """A loop as apps have it, of each kind in turn: for `async def` tests with real sockets."""
    with asyncio.Runner(loop_factory=importlib.import_module(request.param).new_event_loop) as runner:
        yield runner


@pytest.fixture
def world(request: pytest.FixtureRequest, virtual_time: asyncio.Runner) -> Iterator[World]:
    """A world with an empty engine; `@pytest.mark.world(...)` says what `open_world` is given."""
    mark = request.node.get_closest_marker("world")
    opening = open_world(*mark.args, **mark.kwargs) if mark else open_world()
    yield virtual_time.run(opening.__aenter__())
    virtual_time.run(opening.__aexit__(None, None, None))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test on virtual time, unless it asks for `real_time`."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = inspect.signature(pyfuncitem.obj).parameters
    shared: Any = pyfuncitem.funcargs.get("real_time") or pyfuncitem.funcargs.get("virtual_time")
    with nullcontext(shared) if shared else asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in arguments}))
    return True
