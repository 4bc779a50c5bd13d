"""Where apps are called: on the platform, on the local engine, and on servers of which nothing is known."""

import pytest
from msgspec.structs import replace

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.machines_api.ip_addresses import served_from_json
from reconciler.model.local_engine import LocalEngine
from reconciler.model.plan import Plan
from reconciler.model.report import Report
from reconciler.operations.session import Session
from reconciler.operations.status import status
from reconciler.operations.urls import urls_of
from reconciler.render.report import report_json, report_text
from reconciler.render.status import status_json
from tests.support.world import TARGET, World, spec_of

SPEC = spec_of(
    """
version: 1
name: stack
defaults: {image: registry.example/a:1}
apps:
  shop: {services: {web: {ports: [8080]}}}
  plain: {services: {web: {ports: [{internal_port: 8080, port: 80, handlers: [http]}]}}}
  mail: {services: {smtp: {ports: [{internal_port: 2525, protocol: tcp, port: 25}]}}}
  inner: {services: {web: {config: {services: [{internal_port: 8080, protocol: tcp}]}}}}
  none: {services: {web: {ports: [8080], count: 0}}}
  jobs: {tasks: {work: {}}}
"""
)


def on_fly(world: World) -> Session:
    return replace(world.session, target=replace(TARGET, name="fly"))


def on_the_engine(world: World) -> Session:
    local = LocalEngine(find_url=lambda: None, start="")
    return replace(world.session, context=replace(world.context, local=local))


async def test_the_platform_calls_an_app_by_its_name(world: World) -> None:
    assert await urls_of(on_fly(world), SPEC) == {
        "shop": ("https://shop.fly.dev",),
        "plain": ("http://plain.fly.dev",),
        "mail": ("mail.fly.dev:25",),
    }
    assert not world.transport.requests


async def test_the_local_engine_is_asked_where_it_serves(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await urls_of(on_the_engine(world), SPEC) == {}
    assert world.transport.requests == ["GET /engine/services"]
    rows = [
        {"app": "shop", "port": 443, "address": "127.0.0.1:8443"},
        {"app": "shop", "port": 80, "address": "127.0.0.1:8080"},
        {"app": "mail", "port": 25, "address": "127.0.0.1:8025"},
        {"app": "other", "port": 80, "address": "127.0.0.1:9000"},
        {"app": "shop", "port": "81", "address": "127.0.0.1:9001"},
        None,
    ]

    async def served() -> dict[str, dict[int, str]]:
        return served_from_json(rows)

    monkeypatch.setattr(world.context.client.platform, "list_served", served)
    assert await urls_of(on_the_engine(world), SPEC) == {
        "shop": ("http://127.0.0.1:8080",),
        "mail": ("127.0.0.1:8025",),
    }


async def test_what_cannot_be_asked_or_is_another_server_is_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused() -> dict[str, dict[int, str]]:
        raise ApiError("no", kind=ApiErrorKind.REFUSED)

    monkeypatch.setattr(world.context.client.platform, "list_served", refused)
    assert await urls_of(on_the_engine(world), SPEC) == {}
    assert await urls_of(world.session, SPEC) == {}


async def test_status_and_the_report_of_an_apply_say_it(world: World) -> None:
    found = await status(on_fly(world), SPEC)
    assert status_json(found.slots, (), found.urls)["urls"]["shop"] == ["https://shop.fly.dev"]
    report = Report(plan=Plan(stack="s", apps=(), changes=()), entries=(), urls=found.urls)
    assert report_json(report)["urls"]["mail"] == ["mail.fly.dev:25"]
    assert "\nshop: https://shop.fly.dev\n" in report_text(report)
