"""Spawn the engine's process, with a log file, and a pipe that tells of it.

The engine closes its end once it serves. A start error goes through the pipe and not through the log, as the disk may
be full.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Final

from reconciler.engine.errors import EngineStartError, cannot_use, parse_start_error
from reconciler.engine.store.retention import ENGINE_LOG_BYTES_KEPT

ENGINE_LOG: Final = "engine.log"
_ERROR_BYTES: Final = 65536


def spawn_engine(home: Path, *arguments: str) -> "tuple[subprocess.Popen[bytes], IO[bytes]]":
    """Return the new process, and the pipe that tells how the start went.

    Raises EngineStartError.
    """
    read, write = os.pipe()
    told = os.fdopen(read, "rb")
    words = [sys.executable, "-m", "reconciler.engine", "--home", str(home), "--tell", str(write), *arguments]
    try:
        with _open_log(home) as output:
            process = subprocess.Popen(
                words,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(write,),
            )
    except OSError as error:
        told.close()
        raise cannot_use(home, error) from error
    finally:
        os.close(write)
    return process, told


def why_it_ended(process: "subprocess.Popen[bytes]", told: IO[bytes], home: Path) -> EngineStartError:
    """Return why the process has ended: its own start error, or its exit code."""
    error = parse_start_error(told.read(_ERROR_BYTES).decode("utf-8", "replace"))
    return error or EngineStartError(f"it ended with code {process.returncode}", remedy=see_log(home))


def see_log(home: Path) -> str:
    """Return where to read more."""
    return f"{home / ENGINE_LOG} says more"


def _open_log(home: Path) -> IO[bytes]:
    """Open the engine's own log to append to it; cut it first where it is too long."""
    log = home / ENGINE_LOG
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    opened = os.fdopen(os.open(log, flags, 0o600), "ab")
    if opened.tell() > ENGINE_LOG_BYTES_KEPT:
        opened.truncate(0)
    return opened
