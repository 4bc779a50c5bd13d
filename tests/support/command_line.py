"""The command line in process, against an engine on virtual time."""

import asyncio
import contextlib
import io
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from reconciler.cli.main import cli, run
from reconciler.cli.ui.completion import complete
from reconciler.machines_api.client import MachinesClient
from reconciler.testing.virtual import VirtualEngine
from tests.support.environment import clear_environment

LONGEST_S: Final = 6 * 3600.0  # of virtual time; a verb that takes longer hangs


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class CommandLine:
    """Runs commands in the directory, on the engine's loop and through the transport."""

    def __init__(self, engine: VirtualEngine, transport: httpx.AsyncBaseTransport, directory: Path) -> None:
        self._engine = engine
        self._transport = transport
        self._directory = directory

    def run(self, *words: str, environment: Mapping[str, str] | None = None) -> Ended:
        """The exit code and what was shown. Raises HangsError where it takes too long.

        The engine is the target unless the words name another.
        """
        target = () if "--target" in words else ("--target", self._engine.url)
        out, err = io.StringIO(), io.StringIO()
        with self._patched(environment or {}), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([*words, *target])
        return Ended(code, out.getvalue(), err.getvalue())

    def complete(self, words: str, begun: str = "") -> list[str]:
        """The words that a shell is offered after `words`."""
        line = f"reconciler --target {self._engine.url} {words} {begun}"
        asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - bool(begun))}
        out = io.TextIOWrapper(io.BytesIO())
        with self._patched(asked), contextlib.redirect_stdout(out):
            complete(cli, "bash_complete")
        out.seek(0)
        return [line.partition(",")[2] for line in out.read().splitlines() if line]

    @contextmanager
    def _patched(self, environment: Mapping[str, str]) -> Iterator[None]:
        def client(**options: Any) -> MachinesClient:
            return MachinesClient(**options | {"transport": _Unclosed(self._transport)})

        with pytest.MonkeyPatch.context() as patch:
            clear_environment(patch)
            patch.chdir(self._directory)
            patch.setenv("FLY_API_TOKEN", self._engine.token)
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr("reconciler.machines_api.client.MachinesClient", client)
            patch.setattr("reconciler.clock.SystemClock", lambda: self._engine.clock)
            patch.setattr(asyncio, "run", lambda work: self._engine.run(_bounded(work)))
            yield


async def _bounded(work: Coroutine[Any, Any, Any]) -> Any:
    task = asyncio.ensure_future(work)
    done, _ = await asyncio.wait({task}, timeout=LONGEST_S)
    if not done:
        task.cancel()
        raise HangsError
    return task.result()


class HangsError(BaseException):
    """A command took longer than anything may; no error that a command could catch."""


class _Unclosed(httpx.AsyncBaseTransport):
    """A transport that outlives its client."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._inner.handle_async_request(request)
