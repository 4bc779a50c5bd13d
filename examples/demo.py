"""`make demo`: the walkthrough on the local engine, from plan to destroy, in a home of its own that is gone afterwards.

GitHub's answer comes from a stand-in on loopback, so that the demo needs no network.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ABOUT = """
The walkthrough, from plan to destroy, on the local engine: it serves the Machines API on this machine, and really runs
the task. No account, no network: GitHub's answer is a recorded stand-in. All files are in a directory that goes."""
RECORDED = {"/repos/vessel-app/vessel-cli/releases/latest": {"tag_name": "v0.2.3"}}

STEPS = (
    ("Check machines.yaml: one app with one task, get-release, on two machines. Offline.", "validate", 0),
    ("Show what would change. The engine starts by itself; there is nothing on it yet.", "plan", 0),
    ("Make the app and its two machines. Nothing runs yet.", "apply --yes", 0),
    ("Plan again: nothing is left to do.", "plan --detailed-exitcode", 0),
    ("Run the task once: start a machine, show its output, end with its exit code.", "invoke get-release", 0),
    (
        "The same for a repository that does not exist: the task's own exit code, 1, comes through.",
        "invoke get-release -- vessel-app/no-such-repository",
        1,
    ),
    ("What ran, how it ended, who started it.", "runs", 0),
    ("The runs changed nothing that is declared.", "plan --detailed-exitcode", 0),
    ("The machines, and their last runs.", "status", 0),
    ("Remove all machines of the stack.", "destroy --yes", 0),
    ("Stop the engine.", "engine stop", 0),
)


class StandIn(BaseHTTPRequestHandler):
    """Answers as GitHub's API does: a recorded release, or 404."""

    def do_GET(self) -> None:
        answer = RECORDED.get(self.path)
        body = json.dumps(answer or {"message": "Not Found", "status": "404"}).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Silent: the demo's output is the walkthrough."""


def reconciler(*arguments: str, environment: dict[str, str], why: str, expected: int = 0) -> None:
    print(f"\n# {why}\n$ reconciler {' '.join(arguments)}", flush=True)
    ended = subprocess.run(
        [sys.executable, "-m", "reconciler.cli", *arguments], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL
    )
    print(f"  (exit code {ended.returncode})", flush=True)
    if ended.returncode != expected:
        raise SystemExit(f"the demo failed: expected exit code {expected}, got {ended.returncode}")


def walk(environment: dict[str, str]) -> None:
    for why, line, expected in STEPS:
        reconciler(*line.split(), environment=environment, why=why, expected=expected)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="reconciler-demo-", ignore_cleanup_errors=True) as home:
        environment = os.environ | {
            "RECONCILER_HOME": home,
            "RECONCILER_TARGET": "local",
            "GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}",
        }
        environment.pop("RECONCILER_FILE", None)
        print(ABOUT)
        try:
            walk(environment)
        except (
            BaseException
        ) as error:  # a failure, Ctrl-C, or a reader that has gone (`| head`): the engine ends anyway
            stop = [sys.executable, "-m", "reconciler.cli", "engine", "stop"]
            subprocess.run(stop, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if isinstance(error, KeyboardInterrupt):
                return 130
            if isinstance(error, BrokenPipeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return 1
            raise
        finally:
            server.shutdown()
            server.server_close()
    print("\nDone: everything was removed, and no process is left. Next: README.md, on an app of your own.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
