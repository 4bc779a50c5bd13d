"""One run of `true`: the whole command against the same done by curl, and the library's calls against plain httpx."""

import json
from collections.abc import Iterator

import httpx

from benchmarks.bench import Bench
from benchmarks.figure import Figure, under
from benchmarks.home import Home, open_home
from reconciler.tasks import Tasks

_CURL = """
call() { curl -sS -f -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" "$@"; }
url=$URL/b/machines
id=$(call "$url" | sed 's/^\\[{"id":"\\([^"]*\\)".*/\\1/')
"""
# What people do by hand today.
BARE = f"""{_CURL}
call -X POST "$url/$id/start" >/dev/null
call "$url/$id/wait?state=stopped" >/dev/null
call "$url/$id" >/dev/null
"""
# The same under a lease, as two callers at once need it.
LEASED = f"""{_CURL}
nonce=$(call -X POST -d '{{"ttl": 30}}' "$url/$id/lease" | sed 's/.*"nonce":"\\([^"]*\\)".*/\\1/')
call -X POST -H "fly-machine-lease-nonce: $nonce" "$url/$id/start" >/dev/null
call "$url/$id/wait?state=stopped" >/dev/null
call "$url/$id" >/dev/null
call -X DELETE -H "fly-machine-lease-nonce: $nonce" "$url/$id/lease" >/dev/null
"""


def invoke_figures(bench: Bench) -> Iterator[Figure]:
    with open_home() as home:
        home.command("apply", "--yes")()
        yield bench.compare(
            "invoke of true, under a lease",
            home.command("invoke", "ok"),
            "import httpx, click; curl: list, lease, start, wait, get, release",
            home.python("import httpx, click"),
            home.process("sh", "-e", "-c", LEASED),
            goal=under(1.5),
            runs=15,
        )
        yield bench.compare(
            "invoke of true",
            home.command("invoke", "ok"),
            "curl: list, start, wait, get",
            home.process("sh", "-e", "-c", BARE),
        )
        yield _library_figure(bench, home)


def _library_figure(bench: Bench, home: Home) -> Figure:
    """A run by the library against the same calls by plain httpx, on connections that are open already."""
    url, token = home.url, home.token
    headers = {"Authorization": f"Bearer {token}"}
    with (
        Tasks("b", token=token, url=url, log_delay_s=0.0) as tasks,
        httpx.Client(base_url=f"{url}/v1/apps/b", headers=headers, trust_env=False) as http,
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

        name, work = "a second run by the library", lambda: tasks.invoke("ok").wait()
        return bench.compare(name, work, "its calls by httpx", plain, goal=under(1.1), runs=51)
