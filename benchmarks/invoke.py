"""One run of `true`: the whole command against the same done by curl, and the library's calls against plain httpx."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import median_s
from reconciler.engine.home import read_token, start_engine, stop_engine
from reconciler.http import httpx
from reconciler.tasks import Tasks

SPEC = "version: 1\nname: b\napps: {b: {image: i, tasks: {ok: {command: ['true']}}}}\n"
_HEADER = '-H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json"'
_CURL = f"""
call() {{ curl -sS -f {_HEADER} "$@"; }}
id=$(call "$URL/machines" | sed 's/^\\[{{"id":"\\([^"]*\\)".*/\\1/')
"""
# What people do by hand today.
BARE = f"""{_CURL}
call -X POST "$URL/machines/$id/start" >/dev/null
call "$URL/machines/$id/wait?state=stopped" >/dev/null
call "$URL/machines/$id" >/dev/null
"""
# The same under a lease, as two callers at once need it.
LEASED = f"""{_CURL}
nonce=$(call -X POST -d '{{"ttl": 30}}' "$URL/machines/$id/lease" | sed 's/.*"nonce":"\\([^"]*\\)".*/\\1/')
call -X POST -H "fly-machine-lease-nonce: $nonce" "$URL/machines/$id/start" >/dev/null
call "$URL/machines/$id/wait?state=stopped" >/dev/null
call "$URL/machines/$id" >/dev/null
call -X DELETE -H "fly-machine-lease-nonce: $nonce" "$URL/machines/$id/lease" >/dev/null
"""


def invoke_figures() -> dict[str, float]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        home = Path(directory) / "engine"
        (Path(directory) / "machines.yaml").write_text(SPEC)
        url, token = start_engine(home).url, read_token(home)
        environment = os.environ | {"RECONCILER_HOME": str(home), "RECONCILER_TARGET": "local", "TOKEN": token}
        environment["URL"] = f"{url}/v1/apps/b"

        def whole(*line: str) -> float:
            return median_s(
                lambda: subprocess.run(line, check=True, cwd=directory, env=environment, capture_output=True)
            )

        try:
            command = [sys.executable, "-m", "reconciler.cli"]
            subprocess.run(
                [*command, "apply", "--yes"], check=True, cwd=directory, env=environment, capture_output=True
            )
            invoke_s = whole(*command, "invoke", "ok")
            imports_s = whole(sys.executable, "-c", "import httpx, click")
            return {
                "invoke of true / curl's list, start, wait, get": invoke_s / whole("sh", "-e", "-c", BARE),
                "invoke of true / (imports + curl, under a lease)": invoke_s
                / (imports_s + whole("sh", "-e", "-c", LEASED)),
            } | _library_figures(f"{url}", token)
        finally:
            stop_engine(home)


def _library_figures(url: str, token: str) -> dict[str, float]:
    """A run by the library against the same calls by plain httpx, on connections that are open already."""
    with (
        Tasks("b", token=token, url=url, log_delay_s=0.0) as tasks,
        httpx.Client(
            base_url=f"{url}/v1/apps/b", headers={"Authorization": f"Bearer {token}"}, trust_env=False
        ) as http,
    ):
        machine = http.get("/machines").json()[0]["id"]

        def plain() -> None:
            lease = http.post(f"/machines/{machine}/lease", content=json.dumps({"ttl": 30})).json()
            nonce = {"fly-machine-lease-nonce": lease["data"]["nonce"]}
            http.get(f"/machines/{machine}")
            http.post(f"/machines/{machine}/metadata/reconciler_r0", json={"value": "x"})
            http.post(f"/machines/{machine}/start", headers=nonce)
            http.get(f"/machines/{machine}")
            http.delete(f"/machines/{machine}/lease", headers=nonce)
            http.get(f"/machines/{machine}/wait?state=stopped")
            http.get(f"/machines/{machine}")

        library_s = median_s(lambda: tasks.invoke("ok").wait(), runs=31)
        return {"library: invoke and wait / its calls by httpx": library_s / median_s(plain, runs=31)}


if __name__ == "__main__":
    for name, value in invoke_figures().items():
        sys.stdout.write(f"{name:<50} {value:8.2f}\n")
