"""Commands as whole processes, against Python's own start."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import median_s


def command_figures() -> dict[str, float]:
    """Whole processes against `python -c pass`."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        spec = Path(home) / "machines.yaml"
        spec.write_text("version: 1\nname: b\napps: {b: {image: i, tasks: {ok: {command: ['true']}}}}\n")
        environment = os.environ | {"RECONCILER_HOME": f"{home}/engine", "RECONCILER_TARGET": "local"}

        def command(*arguments: str) -> Callable[[], object]:
            line = [sys.executable, "-m", "reconciler.cli", *arguments]
            return lambda: subprocess.run(line, check=True, cwd=home, env=environment, capture_output=True)

        try:
            command("apply", "--yes")()
            python_s = median_s(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
            return {
                f"{name} / python -c pass": median_s(command(*arguments)) / python_s
                for name, arguments in {
                    "--help": ["--help"],
                    "validate": ["validate"],
                    "plan": ["plan"],
                    "invoke of true": ["invoke", "ok"],
                }.items()
            }
        finally:
            command("engine", "stop")()
