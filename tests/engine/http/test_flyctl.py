"""What Fly's own client asks of the engine beside the Machines API's documented ways, and what it wants back.

Each test is of one command: its requests as they were seen, and the members that it reads.
"""

from datetime import datetime
from typing import Any

import httpx

from reconciler.engine.http.serializers import event_json
from reconciler.engine.models import Event
from tests.engine.http.test_app import Ask, make, with_api
from tests.support.world import TOKEN, World


async def at_root(world: World, method: str, path: str, **options: Any) -> httpx.Response:
    """Asks for a path that is not one of the app's."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=world.transport, base_url="http://127.0.0.1", headers=headers) as http:
        return await http.request(method, path, **options)


def rfc3339(text: Any) -> datetime:
    """The time that the text tells; nothing else is one for a client in Go."""
    assert isinstance(text, str)
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


def test_list_after_an_exit_has_its_time_as_rfc_3339() -> None:
    async def scenario(world: World, ask: Ask) -> None:
        machine = await make(ask, "exit", "3", skip_launch=False, restart={"policy": "no"})
        await ask("GET", f"/machines/{machine}/wait?state=stopped")
        [listed] = (await ask("GET", "/machines")).json()
        told = [listed["events"], (await ask("GET", f"/machines/{machine}/events")).json()]
        for events in told:
            [payload] = [one["request"] for one in events if one["type"] == "exit"]
            at = rfc3339(payload["exit_event"]["exited_at"])
            [stamp] = [one["timestamp"] for one in events if one["type"] == "exit"]
            assert abs(at.timestamp() * 1000 - stamp) < 1000
            assert payload["exit_event"]["exit_code"] == 3
        assert all(isinstance(one["timestamp"], int) for one in listed["events"])

    with_api(scenario)


def test_an_exit_that_an_earlier_version_recorded_is_told_in_the_same_form() -> None:
    recorded: dict[str, Any] = {"exit_event": {"exit_code": 0, "exited_at": 1795941069783, "requested_stop": False}}
    event = Event(id="e", type="exit", status="stopped", source="flyd", timestamp_ms=1795941069783, request=recorded)
    told = event_json(event)["request"]["exit_event"]
    assert told == recorded["exit_event"] | {"exited_at": "2026-11-29T08:31:09.783000Z"}


def test_apps_create_reads_the_name_of_the_new_app_and_asks_for_it() -> None:
    async def scenario(world: World, _ask: Ask) -> None:
        body = {"name": "shop", "org_slug": "personal", "network": "", "app_role_id": ""}
        made = await at_root(world, "POST", "/v1/apps?wait=true", json=body)
        assert (made.status_code, made.json()["name"], made.json()["id"]) == (201, "shop", "shop")
        assert made.json()["organization"] == {"name": "personal", "slug": "personal"}
        found = (await at_root(world, "GET", "/v1/apps/shop")).json()
        assert (found["name"], found["status"], found["machine_count"]) == ("shop", "pending", 0)

    with_api(scenario)
