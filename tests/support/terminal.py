"""The command as a process of its own, on a terminal."""

import os
import pty
import subprocess
import sys
from pathlib import Path


class Terminal:
    """Runs a command with a terminal for its stdin and stderr."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        ours, theirs = pty.openpty()
        environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        environment |= {
            "RECONCILER_HOME": str(directory / "home"),
            "RECONCILER_TARGET": "local",
            "HOME": str(directory),
        }
        command = [sys.executable, "-m", "reconciler.cli", *arguments]
        self.process = subprocess.Popen(
            command, cwd=directory, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self._fd = ours
        self.shown = ""

    def read_until(self, words: str) -> None:
        while words not in self.shown:
            assert self._read(), self.shown

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def end(self) -> int:
        """The process's code, once it has shown all."""
        while self._read():
            pass
        os.close(self._fd)
        return self.process.wait(timeout=30)

    def _read(self) -> bool:
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # the terminal's other end is closed
            return False
        self.shown += data.decode("utf-8", "replace")
        return bool(data)
