"""The container client: frames cut anywhere, requests to Docker, invalid answers."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.containers.client import ContainerEngine, State
from reconciler.containers.errors import ContainerError
from reconciler.containers.sockets import addresses
from reconciler.containers.wire import unframed
from reconciler.model.image import parse_image

pytestmark = pytest.mark.slow

DIGEST = f"sha256:{'a' * 64}"
Answer = Callable[[httpx.Request], httpx.Response]
Use = Callable[[ContainerEngine], Coroutine[Any, Any, Any]]


def asked(
    answer: Answer, use: Callable[[ContainerEngine], Coroutine[Any, Any, Any]]
) -> tuple[Any, list[httpx.Request]]:
    """What the use of an engine gave that answers so, and what it was asked."""
    requests: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return answer(request)

    async def run() -> Any:
        async with ContainerEngine("http://127.0.0.1:2375", transport=httpx.MockTransport(take)) as engine:
            return await use(engine)

    return asyncio.run(run()), requests


async def collected(chunks: list[bytes]) -> dict[str, bytes]:
    async def come() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    found = {"stdout": b"", "stderr": b""}
    async for name, content in unframed(come()):
        found[name] += content
    return found


@given(
    frames=st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=300)), max_size=8),
    cuts=st.lists(st.integers(0, 2000), max_size=12),
)
def test_frames_come_out_the_same_however_the_wire_cuts_them(frames: list[tuple[str, bytes]], cuts: list[int]) -> None:
    numbers = {"stdout": b"\x01", "stderr": b"\x02"}
    wire = b"".join(numbers[name] + b"\0\0\0" + len(part).to_bytes(4, "big") + part for name, part in frames)
    edges = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    found = asyncio.run(collected([wire[start:end] for start, end in pairwise(edges)]))
    assert found == {name: b"".join(part for one, part in frames if one == name) for name in numbers}


def test_docker_is_asked_for_the_digest_with_the_login_in_a_header_alone() -> None:
    image = parse_image(f"ghcr.io/owner/name:tag@{DIGEST}")
    auth = {"username": "me", "password": "canary", "serveraddress": "ghcr.io"}
    _, [request] = asked(
        lambda _request: httpx.Response(200, text='{"status": "done"}\n'), lambda engine: engine.pull(image, auth=auth)
    )
    query = dict(request.url.params)
    assert query == {"fromImage": "ghcr.io/owner/name", "tag": DIGEST, "platform": "linux/amd64"}
    assert json.loads(base64.urlsafe_b64decode(request.headers["X-Registry-Auth"])) == auth
    assert "canary" not in str(request.url)


@pytest.mark.parametrize(("text", "name", "tag"), [("busybox", "busybox", "latest"), ("owner/app:2", "owner/app", "2")])
def test_docker_hub_is_asked_by_the_names_it_knows(text: str, name: str, tag: str) -> None:
    _, [request] = asked(
        lambda _request: httpx.Response(200, text=""), lambda engine: engine.pull(parse_image(text), auth=None)
    )
    assert (request.url.params["fromImage"], request.url.params["tag"]) == (name, tag)
    assert "X-Registry-Auth" not in request.headers


def test_a_pull_fails_by_what_its_progress_says() -> None:
    text = '{"status": "Pulling"}\nnot json\n{"errorDetail": {}, "error": "no space left on device"}\n'
    with pytest.raises(ContainerError, match="no space left on device"):
        asked(lambda _request: httpx.Response(200, text=text), lambda engine: engine.pull(parse_image("a"), auth=None))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"Status": "exited", "ExitCode": 137, "OOMKilled": True}, State(is_over=True, code=137, is_oom_killed=True)),
        ({"Status": "running", "ExitCode": 0}, State(is_over=False, code=0, is_oom_killed=False)),
        ({"Status": "created", "ExitCode": 0}, State(is_over=True, code=-1, is_oom_killed=False)),
        ({"Status": "exited", "ExitCode": None}, State(is_over=True, code=-1, is_oom_killed=False)),
        ({"Status": "exited"}, State(is_over=True, code=-1, is_oom_killed=False)),
        ({"Status": "exited", "ExitCode": "0"}, State(is_over=True, code=-1, is_oom_killed=False)),
        (None, State(is_over=True, code=-1, is_oom_killed=False)),
    ],
)
def test_how_a_container_is(state: dict[str, Any] | None, expected: State) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"State": state}) if state else httpx.Response(404, json={"message": "none"})

    assert asked(answer, lambda engine: engine.state("c"))[0] == expected


def test_the_end_is_waited_for_where_it_has_not_come() -> None:
    states = iter([{"Status": "running"}, {"Status": "exited", "ExitCode": 4}])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/wait"):
            return httpx.Response(200, json={"StatusCode": 4})
        return httpx.Response(200, json={"State": next(states)})

    state, requests = asked(answer, lambda engine: engine.ended("c"))
    assert state.code == 4
    assert [request.url.path.rpartition("/")[2] for request in requests] == ["json", "wait", "json"]


def test_a_signal_to_what_has_ended_meanwhile_is_no_error() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(409, json={"message": "container is not running"})
        return httpx.Response(200, json={"State": {"Status": status}})

    status = "exited"
    asked(answer, lambda engine: engine.kill("c", 15))
    status = "running"
    with pytest.raises(ContainerError, match="is not running"):
        asked(answer, lambda engine: engine.kill("c", 15))


def test_what_is_no_container_engine_is_told_apart() -> None:
    with pytest.raises(ContainerError, match="no container engine"):
        asked(lambda _request: httpx.Response(200, text="<html>"), lambda engine: engine.connect())

    def refuses(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno 13] Permission denied")

    with pytest.raises(ContainerError, match="permission denied: is your user"):
        asked(refuses, lambda engine: engine.connect())


def test_where_engines_are_looked_for(tmp_path: Path) -> None:
    assert addresses({"DOCKER_HOST": "tcp://127.0.0.1:2375", "CONTAINER_HOST": "unix:///p"}) == (
        "http://127.0.0.1:2375",
    )
    assert addresses({"CONTAINER_HOST": "unix:///p"}) == ("unix:///p",)
    assert not [one for one in addresses({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}) if "tmp" in one]
    with pytest.raises(ContainerError, match="DOCKER_HOST is 'npipe"):
        addresses({"DOCKER_HOST": "npipe:////./pipe/docker_engine"})


class HeldOpen(httpx.AsyncByteStream):
    """A frame of output, and then no end: a process in the background holds the stream."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"\x01\0\0\0\0\0\0\x05done\n"
        await asyncio.Event().wait()


@pytest.mark.parametrize("not_begun", [{"Running": False, "ExitCode": None}, {"Running": True, "ExitCode": None}])
def test_an_exec_ends_with_its_command_not_with_its_stream(not_begun: dict[str, Any]) -> None:
    states = [not_begun, {"Running": True, "ExitCode": None}, {"Running": False, "ExitCode": 5}]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/start"):
            return httpx.Response(200, stream=HeldOpen())
        return httpx.Response(200, json={"Id": "1"} if request.method == "POST" else states.pop(0))

    done, _ = asked(answer, lambda engine: asyncio.wait_for(engine.execute("c", ("true",)), 20))
    assert (done.code, done.stdout) == (5, b"done\n")
