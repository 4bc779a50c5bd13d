"""A session with Fly's own client, request by request (tests/cases/flyctl.yaml), and what it wants back.

No such client is needed. A request that the engine does not answer as it did then breaks a command of
docs/how-to/flyctl.md.
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from reconciler.clock import SystemClock
from reconciler.engine.engine import Engine
from reconciler.engine.faults.settings import LATENCIES, Settings
from reconciler.testing.scripted import ScriptedRuntime
from reconciler.testing.transport import EngineTransport
from tests.support.world import TOKEN

CASES = Path(__file__).parents[2] / "cases" / "flyctl.yaml"
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "flyctl.md"
SESSION: Final[list[dict[str, Any]]] = yaml.safe_load(CASES.read_text())
UNKNOWN = re.compile(r"\{(\w+)\}")

MACHINE = (
    "id name state region instance_id version private_ip image_ref created_at updated_at config events host_status"
)
VOLUME = "id name state size_gb region zone encrypted created_at snapshot_retention auto_backup_enabled"
APP = "id name status network organization machine_count volume_count"
RELEASE = "id version status strategy user created_at image_ref in_progress stable"
# The members of the answer that the client reads, for each kind of call. Those of GraphQL are in the query itself.
WANTED = {
    "GET /v1/platform/regions": "Regions Nearest",
    "POST /v1/apps": APP,
    "GET /v1/apps/A": APP,
    "DELETE /v1/apps/A": "",
    "GET /v1/apps/A/machines": MACHINE,
    "POST /v1/apps/A/machines": MACHINE,
    "GET /v1/apps/A/machines/M": MACHINE,
    "POST /v1/apps/A/machines/M": MACHINE,
    "DELETE /v1/apps/A/machines/M": "ok",
    "GET /v1/apps/A/machines/M/wait": "ok",
    "POST /v1/apps/A/machines/M/start": "previous_state",
    "POST /v1/apps/A/machines/M/exec": "exit_code stdout stderr",
    "GET /v1/apps/A/machines/M/ps": "pid command listen_sockets",
    "GET /v1/apps/A/machines/M/lease": "error",
    "POST /v1/apps/A/machines/M/lease": "status data",
    "DELETE /v1/apps/A/machines/M/lease": "",
    **{f"POST /v1/apps/A/machines/M/{verb}": "ok" for verb in ("stop", "restart", "cordon", "uncordon", "suspend")},
    "POST /v1/apps/A/machines/M/signal": "ok",
    "POST /v1/apps/A/machines/M/metadata/K": "",
    "GET /v1/apps/A/volumes": VOLUME,
    "POST /v1/apps/A/volumes": VOLUME,
    "GET /v1/apps/A/volumes/V": VOLUME,
    "DELETE /v1/apps/A/volumes/V": "id name",
    "PUT /v1/apps/A/volumes/V/extend": "volume needs_restart",
    "GET /v1/apps/A/secrets": "secrets",
    "POST /v1/apps/A/secrets": "secrets version",
    "GET /v1/apps/A/ip_assignments": "ips",
    "POST /v1/apps/A/ip_assignments": "ip region shared service_name created_at",
    "GET /api/v1/apps/A/logs": "data meta",
    "GET /api/v1/apps/A/releases": "releases",
    "GET /api/v1/organizations/O": "organization",
    "POST /api/v1/releases": "release",
    "PATCH /api/v1/releases/R": RELEASE,
    "POST /api/v1/builds": "id status wallclock_time_ms",
    "POST /api/v1/builds/finish": "id status wallclock_time_ms",
}
_NAMES = (
    ("apps", "A"),
    ("machines", "M"),
    ("volumes", "V"),
    ("organizations", "O"),
    ("releases", "R"),
    ("metadata", "K"),
)


class Replay:
    """Asks what the client asked. `known` are the ids that its answers gave, `nonces` those of the leases."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._known: dict[str, Any] = {}
        self._nonces: dict[str, str] = {}

    async def ask(self, asked: dict[str, Any]) -> None:
        if "graphql" in asked:
            await self._ask_graphql(asked)
            return
        method, _, target = self._filled(asked["call"]).partition(" ")
        path = target.partition("?")[0]
        headers = {"fly-machine-lease-nonce": self._nonces[path.split("/")[5]]} if asked.get("nonce") else {}
        body: dict[str, Any] = {"json": scripted(self._filled(asked["body"]))} if "body" in asked else {}
        reply = await self._http.request(method, target, headers=headers, **body)
        label = f"{asked['call']}: {reply.status_code} {reply.text[:300]}"
        assert reply.status_code in ([asked["status"]] if "status" in asked else [200, 201, 202, 204]), label
        answer = reply.json() if reply.content else {}
        rows = answer if isinstance(answer, list) else [answer]
        for row in rows:
            assert set(WANTED[kind_of(method, path)].split()) <= row.keys() or reply.status_code >= 400, label
        if asked.get("keeps"):
            self._known[asked["keeps"]] = answer.get("release", answer)["id"]
        if isinstance(answer, dict) and "nonce" in answer:
            self._nonces[answer["id"]] = answer["nonce"]
        if path.endswith("/lease") and method == "POST":
            self._nonces[path.split("/")[5]] = answer["data"]["nonce"]

    async def _ask_graphql(self, asked: dict[str, Any]) -> None:
        query = self._filled(asked["graphql"])
        answer = (await self._http.request("POST", "/graphql", json={"query": query})).json()
        if "error" in asked:
            assert [one["message"] for one in answer["errors"]] == [asked["error"]], query
        else:
            assert "errors" not in answer, (query, answer)
            assert all(value is not None for value in answer["data"].values()), query

    def _filled(self, value: Any) -> Any:
        """The value with the ids of this engine; JSON in between, as a number must stay one."""
        if isinstance(value, str):
            return UNKNOWN.sub(lambda match: str(self._known[match[1]]), value)
        text = json.dumps(value)
        text = re.sub(r'"\{(\w+)\}"', lambda match: json.dumps(self._known[match[1]]), text)
        return json.loads(text)


def scripted(body: dict[str, Any]) -> dict[str, Any]:
    """The body with a script for a command that goes on; a release command ends at once."""
    init = body.get("config", {}).get("init", {})
    if init.get("cmd", ["echo"])[0] != "echo":
        init["cmd"] = ["say", "up", "run", "100000"]
    return body


def kind_of(method: str, path: str) -> str:
    """The call with letters for the names in its path."""
    for folder, letter in _NAMES:
        path = re.sub(rf"(?<=/{folder}/)[^/]+", letter, path)
    return f"{method} {path}"


def test_the_engine_answers_all_that_the_session_asked() -> None:
    async def session() -> None:
        runtime = ScriptedRuntime()
        settings = Settings(latency=LATENCIES["none"])
        engine = Engine(database=":memory:", runtime=runtime, clock=SystemClock(), settings=settings)
        await engine.start()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        transport = EngineTransport(engine, TOKEN)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=None
        ) as http:
            replay = Replay(http)
            for asked in (asked for one in SESSION for asked in one["asks"]):
                await replay.ask(asked)
                await asyncio.sleep(0.003)  # a person is slower: what goes on in the background has ended by then
        await engine.close()

    asyncio.run(session())  # in real time: volumes are measured in threads


def test_each_kind_of_call_is_one_that_the_session_made() -> None:
    calls = [
        asked["call"].partition("?")[0].partition(" ") for one in SESSION for asked in one["asks"] if "call" in asked
    ]
    assert {kind_of(method, path) for method, _, path in calls} == set(WANTED)


def test_the_page_lists_the_commands_of_the_session_and_no_others() -> None:
    table = PAGE.read_text().partition("<!-- begin: commands -->")[2].partition("<!-- end: commands -->")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    told = re.findall(r"`([^`]+)`", "".join(rows))
    typed = [one["command"].split() for one in SESSION]
    assert len(told) == len(set(told))
    for words in typed:
        assert [one for one in told if words[: len(one.split())] == one.split()], " ".join(words)
    for one in told:
        assert any(words[: len(one.split())] == one.split() for words in typed), one
