"""The `process` runtime: commands run on the host, each start in a directory of its own, with nothing of the host's
environment but its PATH. The image is not used; what it would be built from is copied there, where that is known.
"""

import asyncio
import errno
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from reconciler.dockerignore import kept, read_ignore
from reconciler.engine.lines import Lines
from reconciler.engine.processes import processes_of
from reconciler.engine.runtime import Command, Ended, Executed, Launch, Left, ProcessStat, TakeOutput

Spawn: TypeAlias = Callable[[tuple[str, ...]], Awaitable[asyncio.subprocess.Process]]

_CHUNK: Final = 65536
_DRAIN_S: Final = 1.0
_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126
_SIGNAL_BASE: Final = 128


class ProcessRuntime:
    """Runs commands below `root`, which holds one directory for each machine."""

    name = "process"
    uses_image = False
    container_host: str | None = None
    port_style = "host"

    def __init__(self, root: Path) -> None:
        self.root = root
        self._path = os.environ.get("PATH", os.defpath)

    async def start(self, launch: Launch, take: TakeOutput) -> "RunningProcesses":
        """Starts all the commands. One that cannot be executed ends the start as a shell would: 127 or 126."""
        try:
            directory = await asyncio.to_thread(self._fresh_directory, launch)
        except OSError as error:
            take("", f"cannot make its directory: {error.strerror}: {error.filename}")
            return RunningProcesses([], take, failed=Ended(code=_NOT_EXECUTABLE))
        processes: list[asyncio.subprocess.Process] = []
        spawn = partial(self._spawn, directory)
        for command in (one for one in launch.commands if one.words):
            try:
                processes.append(await spawn(command))
            except OSError as error:
                take("", f"cannot run {command.words[0]!r}: {error.strerror}")
                for process in processes:
                    _kill_group(process.pid, signal.SIGKILL)
                code = _NOT_EXECUTABLE if isinstance(error, PermissionError) else _NOT_FOUND
                return RunningProcesses(processes, take, failed=Ended(code=code))
        return RunningProcesses(
            processes, take, spawn=lambda words: spawn(Command(cmd=words, env=launch.commands[0].env), takes_input=True)
        )

    def forget(self, machine_id: str) -> None:
        shutil.rmtree(self.root / machine_id, ignore_errors=True)

    async def prepare(self, image: str) -> None:
        """There is nothing to make ready: no image is used."""

    async def recover(self, left: Mapping[str, Left]) -> Mapping[str, Ended]:
        for machine in left.values():
            for pid, started in machine.pids:
                if started and _start_time(pid) == started:
                    _kill_group(pid, signal.SIGKILL)
        return {}

    async def close(self) -> None:
        """Nothing is held."""

    def _fresh_directory(self, launch: Launch) -> Path:
        self.forget(launch.machine_id)
        directory = self.root / launch.machine_id / str(launch.number)
        directory.mkdir(parents=True)
        if launch.context:
            _copy_context(launch.context, directory)
        (directory / "tmp").mkdir(exist_ok=True)
        for volume, path in launch.mounts:
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(volume)
        for path, content, mode in launch.files:
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(mode)
        return directory

    async def _spawn(
        self, directory: Path, command: Command, *, takes_input: bool = False
    ) -> asyncio.subprocess.Process:
        path = command.env.get("PATH", self._path)
        found = shutil.which(command.words[0], path=path) if "/" not in command.words[0] else command.words[0]
        if found is None:
            raise FileNotFoundError(2, "no such command on the PATH")
        environment = {"PATH": path, **command.env, "HOME": str(directory), "TMPDIR": str(directory / "tmp")}
        return await asyncio.create_subprocess_exec(
            found,
            *command.words[1:],
            cwd=directory,
            env=environment,
            stdin=asyncio.subprocess.PIPE if takes_input else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )


def _copy_context(context: Path, directory: Path) -> None:
    """What a build of the context would be given. Links are copied as such. Raises OSError."""
    if not context.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such directory", str(context))
    for path, name in kept(context, read_ignore(context / ".dockerignore")):
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.is_file():
            shutil.copy2(path, target, follow_symlinks=False)
        elif path.is_dir():
            target.mkdir(exist_ok=True)


class RunningProcesses:
    """The processes of one start. When one of them exits, the others are ended too."""

    def __init__(
        self,
        processes: list[asyncio.subprocess.Process],
        take: TakeOutput,
        *,
        spawn: Spawn | None = None,
        failed: Ended | None = None,
    ) -> None:
        self._processes = processes
        self._spawn = spawn
        self._besides: set[int] = set()  # the process groups of commands that run besides
        self._failed = failed
        self._is_over = False
        self._readers = [
            asyncio.create_task(_read_lines(stream, name, take))
            for process in processes
            for name, stream in (("stdout", process.stdout), ("stderr", process.stderr))
            if stream
        ]
        self.pids = tuple((process.pid, _start_time(process.pid)) for process in processes)

    async def wait(self) -> Ended:
        """The end of the process that exited first."""
        waits = [asyncio.ensure_future(process.wait()) for process in self._processes]
        if waits:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        first = next((wait.result() for wait in waits if wait.done()), 0)
        await self.kill()  # what the command left running ends with its machine
        await asyncio.gather(*waits)
        self._is_over = True
        if self._readers:
            _, late = await asyncio.wait(self._readers, timeout=_DRAIN_S)
            for reader in late:
                reader.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._failed:
            return self._failed
        return Ended(code=first) if first >= 0 else Ended(code=_SIGNAL_BASE - first, signal=-first)

    async def signal(self, number: int) -> None:
        if self._is_over:
            return  # their numbers may be others' by now
        for process in self._processes:
            _kill_group(process.pid, number)

    async def kill(self) -> None:
        await self.signal(signal.SIGKILL)
        for pid in self._besides:
            _kill_group(pid, signal.SIGKILL)

    async def suspend(self) -> None:
        await self.signal(signal.SIGSTOP)

    async def resume(self) -> None:
        await self.signal(signal.SIGCONT)

    async def processes(self) -> list[ProcessStat]:
        return await asyncio.to_thread(processes_of, frozenset(process.pid for process in self._processes))

    async def execute(self, words: tuple[str, ...], *, stdin: bytes, timeout_s: float) -> Executed:
        if self._spawn is None:
            return Executed(code=_NOT_EXECUTABLE, stdout="", stderr="the machine does not run")
        try:
            process = await self._spawn(words)
        except OSError as error:
            code = _NOT_EXECUTABLE if isinstance(error, PermissionError) else _NOT_FOUND
            return Executed(code=code, stdout="", stderr=f"cannot run {words[0]!r}: {error.strerror}")
        self._besides.add(process.pid)
        try:
            async with asyncio.timeout(timeout_s):
                stdout, stderr = await process.communicate(stdin)
        finally:
            _kill_group(process.pid, signal.SIGKILL)
            await process.wait()
            self._besides.discard(process.pid)
        number = process.returncode or 0
        return Executed(
            code=number if number >= 0 else _SIGNAL_BASE - number,
            signal=-number if number < 0 else None,
            stdout=stdout.decode("utf-8", "replace"),
            stderr=stderr.decode("utf-8", "replace"),
        )

    async def discard(self) -> None:
        """The directory stays until the next start: it is there to be looked at."""


async def _read_lines(stream: asyncio.StreamReader, name: str, take: TakeOutput) -> None:
    lines = Lines(partial(take, name))
    try:
        while chunk := await stream.read(_CHUNK):
            lines.add(chunk)
    finally:
        lines.close()


def _kill_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _start_time(pid: int) -> int:
    """When the process began, in the kernel's ticks; 0 where that cannot be told. Tells a pid from its reuse."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
