"""Check what is on this computer: the spec, git, and the local engine's home."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from reconciler.engine.server.daemon import EngineStatus, engine_status, is_locked
from reconciler.engine_home import engine_home
from reconciler.errors import SpecError
from reconciler.model.counted import counted
from reconciler.model.finding import Finding, Level
from reconciler.model.spec import Spec
from reconciler.operations.doctor.setup import Setup
from reconciler.operations.git import NoCommitError, head_commit
from reconciler.operations.revision import find_revision
from reconciler.operations.spec_files import NoSpecError
from reconciler.version import VERSION

_ERRORS_SHOWN: Final = 5
_LITTLE_BYTES: Final = 200 * 1024 * 1024
_NOTHING_BYTES: Final = 10 * 1024 * 1024
_NO_REVISION: Final = "commit the spec, or pass --revision N, or --no-revision"
_RUNTIME: Final = "RECONCILER_RUNTIME"
_START_ONE: Final = "start Docker or `podman system service`, or set DOCKER_HOST to its socket"
_STOP: Final = "`reconciler engine stop`; the next command starts it anew"


async def check_spec(setup: Setup) -> tuple[Finding, ...]:
    """Check that there is a spec, and that it is valid."""
    spec = setup.spec
    if isinstance(spec, Spec):
        files = " with ".join((spec.file, *spec.overlays))
        counts = (
            (len(spec.apps), "app"),
            (len(spec.pools), "pool"),
            (sum(len(one.slots) for one in spec.pools), "machine"),
        )
        told = ", ".join(counted(count, noun) for count, noun in counts)
        facts = {"file": spec.file, "stack": spec.stack}
        valid = Finding(level=Level.OK, text=f"{files}: the stack {spec.stack}, {told}", facts=facts)
        places = [
            Finding(level=Level.WARN, text=str(one.place) + f": {one.message}", mend=one.hint)
            for one in spec.unlisted_regions.values()
        ]
        return (valid, *places, *(Finding(level=Level.WARN, text=warning) for warning in spec.warnings))
    if isinstance(spec, SpecError):
        shown = spec.diagnostics[:_ERRORS_SHOWN]
        more = len(spec.diagnostics) + spec.more - len(shown)
        found = [Finding(level=Level.FAIL, text=f"{one.place}: {one.message}", mend=one.hint) for one in shown]
        rest = (
            [Finding(level=Level.FAIL, text=counted(more, "more error"), mend="`reconciler validate` shows them")]
            if more
            else []
        )
        return (*found, *rest)
    level = Level.SKIP if isinstance(spec, NoSpecError) else Level.FAIL
    return (Finding(level=level, text=spec.message, mend=spec.hint),)


async def check_git(setup: Setup) -> tuple[Finding, ...]:
    """Check which revision an apply would take."""
    return (await asyncio.to_thread(_git, setup),)


def _git(setup: Setup) -> Finding:
    doubt = Level.SKIP if setup.is_local else Level.WARN
    if not isinstance(setup.spec, Spec):
        try:
            seconds, commit = head_commit(setup.directory, setup.environment)
        except NoCommitError as error:
            return Finding(level=doubt, text=f"no revision: {error}", mend=_NO_REVISION)
        return Finding(level=Level.OK, text=f"at commit {commit[:12]}", facts={"revision": f"g{seconds}.{commit[:12]}"})
    found = find_revision(setup.spec, None, setup.environment)
    if found.revision is None:
        return Finding(level=doubt, text=(found.warning or "no revision").partition("; pass ")[0], mend=_NO_REVISION)
    facts = {"revision": str(found.revision)}
    if found.warning:
        return Finding(level=Level.WARN, text=found.warning, mend=_NO_REVISION, facts=facts)
    return Finding(level=Level.OK, text=f"apply takes {found.revision.words}", facts=facts)


async def check_engine(setup: Setup) -> tuple[Finding, ...]:
    """Check the local engine: its home, the room there, and what runs."""
    found = await asyncio.to_thread(_engine, setup)
    is_running = any(one.facts.get("running") for one in found)
    wanted = setup.environment.get(_RUNTIME) or "process"
    if is_running or wanted == "process":
        return found
    if wanted != "container":
        why, mend = f"{_RUNTIME} is {wanted!r}, and there are process and container", f"unset {_RUNTIME}, or correct it"
    else:
        why, mend = await _why_no_containers(setup.environment), _START_ONE
    return (*found, Finding(level=_worst(setup), text=why, mend=mend)) if why else found


async def _why_no_containers(environment: Mapping[str, str]) -> str:
    """Return why no container engine can be used; "" if one answers."""
    from reconciler.containers.client import ContainerEngine
    from reconciler.containers.errors import ContainerError
    from reconciler.containers.sockets import addresses

    reasons = []
    try:
        for address in addresses(environment):
            async with ContainerEngine(address) as engine:
                try:
                    await engine.connect()
                    return ""
                except ContainerError as error:
                    reasons.append(str(error))
    except ContainerError as error:
        reasons.append(str(error))
    return f"no container engine answers: {'; '.join(reasons) or 'no socket of one is in a usual place'}"


def _worst(setup: Setup) -> Level:
    """Return the level of a fault of the local engine, which Fly does not need."""
    return Level.FAIL if setup.is_local else Level.WARN


def _engine(setup: Setup) -> tuple[Finding, ...]:
    worst = _worst(setup)
    home = engine_home(setup.environment)
    there = next((one for one in (home, *home.parents) if one.exists()), home)
    facts = {"home": str(home)}
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        text = f"{there} is no directory that can be written"
        return (Finding(level=worst, text=text, mend="set RECONCILER_HOME to one of yours", facts=facts),)
    status = engine_status(home)
    found = [_running(setup, home, status, worst)]
    free = shutil.disk_usage(there).free
    if free < _LITTLE_BYTES:
        level = worst if free < _NOTHING_BYTES else Level.WARN
        text = f"{free // 1024**2} MiB are left on the disk of {there}"
        found.append(Finding(level=level, text=text, mend="make room, or set RECONCILER_HOME elsewhere"))
    if status.running and status.version != VERSION:
        text = f"the engine that runs is of version {status.version}, and this is {VERSION}"
        found.append(Finding(level=Level.WARN, text=text, mend=_STOP))
    wanted = setup.environment.get(_RUNTIME)
    if status.running and wanted and wanted != status.runtime:
        text = f"it runs with the {status.runtime} runtime, and {_RUNTIME} is {wanted}"
        found.append(Finding(level=worst, text=text, mend=_STOP))
    return tuple(found)


def _running(setup: Setup, home: Path, status: EngineStatus, worst: Level) -> Finding:
    facts = {"home": str(home), "running": status.running}
    if status.running:
        more = {"url": status.url, "pid": status.pid, "runtime": status.runtime, "version": status.version}
        text = f"runs at {status.url}, with the {status.runtime} runtime"
        return Finding(level=Level.OK, text=text, facts={**facts, **more})
    if is_locked(home):
        text = f"a process has the lock of {home}, and no engine answers there"
        return Finding(level=worst, text=text, mend=f"wait a moment; `fuser {home}/engine.lock` names it", facts=facts)
    runtime = setup.environment.get(_RUNTIME) or "process"
    return Finding(level=Level.OK, text=f"can start in {home}, with the {runtime} runtime", facts=facts)
