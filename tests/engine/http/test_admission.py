"""Who is admitted: a holder of the token, by a loopback name, and in a browser only the engine's own page."""

import httpx
import pytest

from tests.support.engine_api import Ask, error_of, make
from tests.support.world import TOKEN, World

URL = "http://127.0.0.1:4280"
FOREIGN_PAGES = [
    "http://evil.example",
    "null",  # a file, or a page in a sandbox
    "",
    "http://127.0.0.1",
    "http://127.0.0.1:3000",  # another server of this computer
    "http://localhost:4280",
    "https://127.0.0.1:4280",
    "http://127.0.0.1:4280.evil.example",
]
FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:4280",
    "127.0.0.1.evil.example",
    "localhost.evil.example:4280",
    "testserver",
    "0.0.0.0:4280",
    "",
]


async def starts(world: World, ask: Ask, headers: dict[str, str], query: str = "") -> tuple[int, str]:
    """The answer to a start; whether it is one is in the machine's state."""
    machine = await make(ask, "run", "1000")
    await world.context.clock.sleep(1)
    reply = await ask("POST", f"{URL}/v1/apps/app/machines/{machine}/start{query}", headers=headers)
    await world.context.clock.sleep(1)
    assert world.machines()[0].state == ("started" if reply.status_code == 200 else "stopped")
    return (200, "") if reply.status_code == 200 else error_of(reply)


@pytest.mark.parametrize("origin", [None, URL, "HTTP://127.0.0.1:4280"])
async def test_the_engines_own_page_and_whoever_is_no_page_start_a_machine(
    world: World, ask: Ask, origin: str | None
) -> None:
    assert await starts(world, ask, {"Origin": origin} if origin else {}) == (200, "")


@pytest.mark.parametrize("origin", FOREIGN_PAGES)
async def test_another_page_starts_nothing_even_with_the_token(world: World, ask: Ask, origin: str) -> None:
    status, error = await starts(world, ask, {"Origin": origin})
    assert (status, error) == (403, "forbidden: this engine answers to no web page but its own")


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_another_name_of_this_computer_starts_nothing_even_with_the_token(
    world: World, ask: Ask, host: str
) -> None:
    """A page of that name can be its own origin, once the name resolves to 127.0.0.1."""
    status, error = await starts(world, ask, {"Host": host, "Origin": f"http://{host}"})
    assert (status, error) == (403, "forbidden: this engine answers to loopback names only")


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": ""}, ""),
        ({"Authorization": "Bearer wrong"}, ""),
        ({"Authorization": "", "Cookie": f"token={TOKEN}; Authorization={TOKEN}"}, ""),
        ({"Authorization": ""}, f"?token={TOKEN}&access_token={TOKEN}"),
    ],
)
async def test_the_token_is_taken_from_its_header_alone(
    world: World, ask: Ask, headers: dict[str, str], query: str
) -> None:
    assert await starts(world, ask, headers | {"Origin": URL}, query) == (
        401,
        "unauthorized: missing or wrong token",
    )


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer wrong"}, {"Origin": "http://evil.example"}])
async def test_no_fault_rule_acts_for_who_is_refused(world: World, ask: Ask, headers: dict[str, str]) -> None:
    world.engine.faults.add("vanish", calls=("start",))
    assert (await starts(world, ask, headers))[0] in {401, 403}
    await ask("POST", f"/machines/{world.machines()[0].id}/start")
    assert world.machines() == []


async def new_code(ask: Ask) -> str:
    reply = await ask("POST", f"{URL}/engine/page-codes", headers={"Origin": URL})
    return str(reply.json()["code"])


async def redeem(ask: Ask, code: object, headers: dict[str, str] | None = None) -> httpx.Response:
    given = {"Authorization": "", "Origin": URL} | (headers or {})
    return await ask("POST", f"{URL}/engine/page-tokens", json={"code": code}, headers=given)


async def test_a_code_is_the_token_once(ask: Ask) -> None:
    code, other = await new_code(ask), await new_code(ask)
    given = await redeem(ask, code)
    assert given.json() == {"token": TOKEN}
    assert given.headers["cache-control"] == "no-store"
    assert error_of(await redeem(ask, code))[0] == 401
    assert (await redeem(ask, other)).status_code == 200


async def test_a_code_expires(world: World, ask: Ask) -> None:
    codes = [await new_code(ask), await new_code(ask)]
    await world.context.clock.sleep(119)
    assert (await redeem(ask, codes[0])).status_code == 200
    await world.context.clock.sleep(1)
    assert error_of(await redeem(ask, codes[1]))[0] == 401


@pytest.mark.parametrize("code", ["", None, 1, ["x"], {}, TOKEN])
async def test_what_is_no_code_is_refused(ask: Ask, code: object) -> None:
    await new_code(ask)
    assert error_of(await redeem(ask, code))[0] == 401


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
async def test_a_code_is_good_for_no_other_page_and_is_issued_for_the_token_alone(
    ask: Ask, headers: dict[str, str]
) -> None:
    code = await new_code(ask)
    assert (await redeem(ask, code, headers)).status_code == 403
    assert (await redeem(ask, code)).status_code == 200
    refused = await ask("POST", f"{URL}/engine/page-codes", headers={"Authorization": "Bearer wrong"})
    assert refused.status_code == 401


@pytest.mark.parametrize("path", ["/", "/engine/happenings", "/graphql", "/v1/apps"])
@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}], ids=lambda headers: next(iter(headers))
)
async def test_a_foreign_page_is_shown_nothing(ask: Ask, path: str, headers: dict[str, str]) -> None:
    reply = await ask("POST" if path == "/graphql" else "GET", f"{URL}{path}", headers=headers)
    assert reply.status_code == 403
    assert "access-control-allow-origin" not in reply.headers
    assert "set-cookie" not in reply.headers
