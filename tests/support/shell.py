"""The command as a process, in a directory and a home of its own."""

import os
import subprocess
import sys
from pathlib import Path

SPEC = """
version: 1
name: walk
apps:
  app:
    image: not-used:1
    env: {GREETING: "${GREETING:-hello}"}
    tasks:
      say: {command: [sh, -c, 'echo "$GREETING out"; echo err >&2']}
      seven: {command: [sh, -c, exit 7]}
      killed: {command: [sh, -c, 'kill -9 $$$$']}
      nothing: {command: ["true"]}
      missing: {command: [no-such-program]}
      long: {command: [sleep, '1000'], timeout: 500ms}
      stubborn: {command: [sh, -c, 'trap "" INT TERM; echo deaf; while :; do sleep 1; done']}
"""


class Shell:
    """Runs the command in a directory and a home of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "machines.yaml").write_text(SPEC)
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("FLY_", "RECONCILER_"))
        } | {"RECONCILER_HOME": str(directory / "home"), "RECONCILER_TARGET": "local", "HOME": str(directory)}

    def __call__(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            self.command(*arguments),
            cwd=self.directory,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == code, (arguments, ended.stdout, ended.stderr)
        assert "Traceback" not in ended.stderr
        return ended

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "reconciler.cli", *arguments]
