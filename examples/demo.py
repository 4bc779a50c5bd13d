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
RECORDED = {"/repos/vessel-app/vessel-cli/releases/latest": {"tag_name": "v0.2.3"}}


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


def reconciler(*arguments: str, environment: dict[str, str], expected: int = 0) -> None:
    print(f"\n$ reconciler {' '.join(arguments)}", flush=True)
    ended = subprocess.run(
        [sys.executable, "-m", "reconciler.cli", *arguments], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL
    )
    print(f"  (exit code {ended.returncode})", flush=True)
    if ended.returncode != expected:
        raise SystemExit(f"the demo failed: expected exit code {expected}, got {ended.returncode}")


def walk(environment: dict[str, str]) -> None:
    reconciler("validate", environment=environment)
    reconciler("plan", environment=environment)
    reconciler("apply", "--yes", environment=environment)
    reconciler("plan", "--detailed-exitcode", environment=environment)
    reconciler("invoke", "get-release", environment=environment)
    print("\n  The same task for a repository that does not exist: its own exit code comes through.")
    reconciler("invoke", "get-release", "--", "vessel-app/no-such-repository", environment=environment, expected=1)
    reconciler("runs", environment=environment)
    reconciler("plan", "--detailed-exitcode", environment=environment)
    reconciler("status", environment=environment)
    reconciler("destroy", "--yes", environment=environment)


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
        print("The walkthrough of README.md, on the local engine. GitHub's answer is a recorded stand-in on loopback.")
        try:
            walk(environment)
        except KeyboardInterrupt:
            return 130
        finally:
            reconciler("engine", "stop", environment=environment)
            server.shutdown()
            server.server_close()
    print("\nDone: everything was removed, and no process is left.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
