"""The `process` runtime: run commands on this host, in fresh directories.

They get nothing of the host's environment but PATH. The image is not used; its build context is copied into the
directory, where it is known.
"""

import asyncio
import errno
import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from reconciler.dockerignore import kept, read_ignore
from reconciler.engine.runtime.base import Command, Ended, Launch, Leftover, TakeOutput
from reconciler.engine.runtime.child import Child, Starts, TakeBytes, start_child
from reconciler.engine.runtime.process_runs import NOT_EXECUTABLE, RunningProcesses, StreamLines, failure_code, reason
from reconciler.engine.runtime.procfs import MARK, Owned, end_all, start_time

_NO_COMMAND: Final = (
    "it ended at once: it has no command, and the process runtime does not use the image's. "
    "Give the pool a `command`, or start the engine with `--runtime container`"
)
_TEMPORARY: Final = "tmp"
_LONGEST_WORD: Final = 200


class ProcessRuntime:
    """Run commands below `root`, which holds one directory for each machine."""

    name = "process"
    uses_image = False
    container_host: str | None = None
    port_style = "host"

    def __init__(self, root: Path) -> None:
        self.root: Path = root.resolve()
        self._starts = Starts()
        self._path = os.environ.get("PATH", os.defpath)

    async def start(self, launch: Launch, take: TakeOutput) -> RunningProcesses:
        """Start all the commands.

        One that cannot run ends the run as in a shell: 127 or 126.
        """
        directory = self.root / launch.machine_id / str(launch.number)
        try:
            await self._make_fresh(launch, directory)
        except (OSError, ValueError) as error:
            where = f": {error.filename}" if isinstance(error, OSError) else ""
            take("", f"cannot make its directory: {reason(error)}{where}")
            return RunningProcesses([], directory, self._starts, failed=Ended(code=NOT_EXECUTABLE))
        if not any(command.words for command in launch.commands):
            take("", _NO_COMMAND)
        children: list[tuple[Child, StreamLines]] = []
        for command in (one for one in launch.commands if one.words):
            lines = StreamLines(take)
            try:
                children.append((await self._spawn(directory, command, lines.take), lines))
            except (OSError, ValueError) as error:
                take("", f"cannot run {_shown(command.words[0])}: {reason(error)}")
                return RunningProcesses(children, directory, self._starts, failed=Ended(code=failure_code(error)))
        spawn = partial(self._spawn_besides, directory, launch)
        return RunningProcesses(children, directory, self._starts, spawn=spawn)

    def forget(self, machine_id: str) -> None:
        """Delete the machine's directory."""
        shutil.rmtree(self.root / machine_id, ignore_errors=True)

    async def prepare(self, image: str) -> None:
        """Do nothing: no image is used."""

    async def recover(self, left: Mapping[str, Leftover]) -> Mapping[str, Ended]:
        """Kill all that an engine of this home has started.

        Return nothing, as no exit code is known. An engine that was killed just as it started a command has no record
        of it: the mark in its environment tells.
        """
        pids = (pid for machine in left.values() for pid in machine.pids)
        leaders = frozenset(pid for pid, started in pids if started and start_time(pid) == started)
        await asyncio.to_thread(end_all, Owned(leaders, self.root))
        return {}

    async def close(self) -> None:
        """Do nothing: the runtime holds nothing open."""

    async def _make_fresh(self, launch: Launch, directory: Path) -> None:
        if not launch.context and _reuse_unused(directory):
            _fill(launch, directory)
        elif launch.context or directory.parent.exists():
            await asyncio.to_thread(self._make_directory, launch, directory)
        else:  # quickly made: it would take as long to ask a thread
            self._make_directory(launch, directory)

    def _make_directory(self, launch: Launch, directory: Path) -> None:
        self.forget(launch.machine_id)
        directory.mkdir(parents=True)
        if launch.context:
            _copy_context(launch.context, directory, without=self.root.parent)
        (directory / _TEMPORARY).mkdir(exist_ok=True)
        _fill(launch, directory)

    async def _spawn(self, directory: Path, command: Command, take: TakeBytes, *, stdin: bytes | None = None) -> Child:
        """Start the command. Raises OSError or ValueError."""
        path = command.env.get("PATH", self._path)
        found = shutil.which(command.words[0], path=path) if "/" not in command.words[0] else command.words[0]
        if found is None:
            raise FileNotFoundError(2, "no such command on the PATH")
        own = {"HOME": str(directory), "TMPDIR": f"{directory}/{_TEMPORARY}", MARK: str(directory)}
        environment = {"PATH": path, **command.env, **own}
        words = (found, *command.words[1:])
        return await start_child(words, take, starts=self._starts, directory=directory, env=environment, stdin=stdin)

    async def _spawn_besides(
        self, directory: Path, launch: Launch, words: tuple[str, ...], take: TakeBytes, stdin: bytes
    ) -> Child:
        command = Command(cmd=words, env=launch.commands[0].env)
        return await self._spawn(directory, command, take, stdin=stdin)


def _reuse_unused(directory: Path) -> bool:
    """Rename the last start's directory to this one, if nothing is left in it.

    Return whether it did. On a disk, deleting and making directories takes ten times as long.
    """
    machine = directory.parent
    try:
        names = os.listdir(machine)  # noqa: PTH208 - asked at each start: pathlib is slow
        if len(names) != 1:
            return False
        last = f"{machine}/{names[0]}"
        temporary = f"{last}/{_TEMPORARY}"
        if os.listdir(last) != [_TEMPORARY] or os.listdir(temporary):  # noqa: PTH208
            return False
        if len({_access(one) for one in (machine.parent, machine, last, temporary)}) > 1:
            return False  # a command has changed who may use them
        os.rename(last, directory)  # noqa: PTH104
    except OSError:
        return False
    return True


def _access(directory: Path | str) -> tuple[int, int, int]:
    """Return who may use the directory: type and mode, owner, group."""
    found = os.lstat(directory)
    return found.st_mode, found.st_uid, found.st_gid


def _fill(launch: Launch, directory: Path) -> None:
    """Put the machine's volumes and files into the directory. Raises OSError."""
    for volume, path in launch.mounts:
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(volume)
    for path, content, mode in launch.files:
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)


def _copy_context(context: Path, directory: Path, *, without: Path) -> None:
    """Copy the files that a build would get; symbolic links stay links.

    `without` is the engine's home: below the context it would be copied into itself. Raises OSError.
    """
    if not context.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such directory", str(context))
    place = context.resolve()
    for path, name in kept(context, read_ignore(context / ".dockerignore")):
        if (place / name).is_relative_to(without):
            continue
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.is_file():
            shutil.copy2(path, target, follow_symlinks=False)
        elif path.is_dir():
            target.mkdir(exist_ok=True)


def _shown(word: str) -> str:
    return repr(word if len(word) <= _LONGEST_WORD else f"{word[:_LONGEST_WORD]}…")
