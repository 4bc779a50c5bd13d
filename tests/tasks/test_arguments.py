"""Arguments of the wrong type: refused by name before any call, by both faces of the library."""

import re
from datetime import datetime
from typing import Any

import httpx
import pytest

from reconciler.tasks import AsyncTasks, Tasks
from reconciler.testing.virtual_time import run_virtually

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"args": "ab cd"}, "args must be a list of strings, one for each word, not str"),
    ({"args": b"ab"}, "args must be a list of strings, one for each word, not bytes"),
    ({"args": {"a"}}, "args must be a list of strings, one for each word, not set"),
    ({"args": ["a", 1]}, "args[1] must be a string, not int"),
    ({"args": [None]}, "args[0] must be a string, not NoneType"),
    ({"env": "A=1"}, "env must be a map of names to strings, not str"),
    ({"env": [("A", "1")]}, "env must be a map of names to strings, not list"),
    ({"env": {"A": 1}}, "env['A'] must be a string, not int"),
    ({"env": {1: "A"}}, "a name in env must be a string, not int"),
    ({"key": 7}, "key must be a string, not int"),
    ({"timeout_s": "10m"}, "timeout_s must be a number of seconds, not str"),
    ({"timeout_s": True}, "timeout_s must be a number of seconds, not bool"),
    ({"queue_timeout": None}, "queue_timeout must be a number of seconds, not NoneType"),
    ({"queue_timeout": "1m", "queue_timeout_s": 60}, "pass `queue_timeout` or `queue_timeout_s`, not both"),
    ({"timeout": True}, "timeout must be a number of seconds, not bool"),
    ({"timeout": "1m", "timeout_s": 60}, "pass `timeout` or `timeout_s`, not both"),
    ({"start_timeout_s": "1"}, "start_timeout_s must be a number of seconds, not str"),
]
OUT_OF_RANGE: list[tuple[dict[str, Any], str]] = [
    ({"timeout_s": -1}, "timeout_s"),
    ({"queue_timeout_s": float("nan")}, "queue_timeout_s"),
    ({"on_busy": "sometimes"}, "sometimes"),
    ({"args": ["a", "\ud800"]}, r"args\[1\] must be text that UTF-8 can hold"),
    ({"args": ["a\udcff"]}, r"args\[0\] must be text"),
    ({"env": {"A": "\udcff"}}, r"env\['A'\] must be text"),
    ({"env": {"\udcff": "A"}}, "a name in env must be text"),
    ({"key": "\udcff"}, "key must be text"),
    ({"key": ""}, "key must not be empty"),
    ({"start_timeout": "soon"}, "start_timeout is 'soon': write it like 30s, 10m or 1h30m"),
    ({"timeout": "soon"}, "timeout is 'soon': write it like 30s, 10m or 1h30m"),
    ({"timeout": "10"}, "timeout is '10'"),
    ({"timeout": "0s"}, "timeout must be more than 0"),
    ({"timeout": -1}, "timeout must be 0 or more seconds"),
    ({"timeout_s": 0}, "timeout_s must be more than 0"),
    ({"timeout_s": 1e20}, "timeout_s must be more than 0 and at most"),
    ({"timeout_s": float("inf")}, "timeout_s must be more than 0 and at most"),
]


class NoCalls(httpx.AsyncBaseTransport):
    """Fails the test where anything is sent."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"{request.method} {request.url} was sent")


def invoke(task: Any, arguments: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with AsyncTasks("app", token="t", url="http://127.0.0.1:1", transport=NoCalls()) as tasks:
            await tasks.invoke(task, **arguments)

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("arguments", "words"), WRONG, ids=lambda value: repr(value) if isinstance(value, dict) else ""
)
def test_a_wrong_type_is_refused_by_name_before_any_call(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError) as caught:
        invoke("work", arguments)
    assert str(caught.value) == words


@pytest.mark.parametrize(("arguments", "words"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_before_any_call(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        invoke("work", arguments)


def test_the_task_is_a_name() -> None:
    with pytest.raises(TypeError, match="task must be a string, not NoneType"):
        invoke(None, {})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"app": "a\udcff"}, "app must be text"),
        ({"stack": "a\udcff"}, "stack must be text"),
        ({"who": "a\udcff"}, "who must be text"),
        ({"token": "a\udcff"}, "token must be text"),
        ({"token": "clé"}, "^token holds characters that no token has$"),
    ],
)
def test_what_no_call_can_hold_makes_no_tasks(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AsyncTasks(**{"app": "app", "token": "t", **arguments})


@pytest.mark.parametrize("face", [Tasks, AsyncTasks])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"app": 5}, "app must be a string, not int"),
        ({"url": 1}, "url must be a string, not int"),
        ({"target": 1}, "target must be a string, not int"),
        ({"target": "local", "url": "http://127.0.0.1:1"}, "pass `target` or `url`, not both"),
        ({"environment": ["A=1"]}, "environment must be a map of names to strings, not list"),
        ({"logs_url": b"u"}, "logs_url must be a string, not bytes"),
        ({"stack": 0}, "stack must be a string, not int"),
        ({"paced": "no"}, "paced must be True or False, not str"),
        ({"log_delay_s": "3"}, "log_delay_s must be a number of seconds, not str"),
        ({"lost_after_s": "30m"}, "lost_after_s must be a number of seconds, not str"),
    ],
)
def test_no_tasks_are_made_of_what_is_wrong(face: type, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=re.escape(words)):
        face(**{"app": "app", "token": "t", **arguments})
    with pytest.raises(TypeError, match="environment must be a map of names to strings, not list"):
        face.from_environment("app", ["A=1"])  # type: ignore[attr-defined]


async def test_runs_are_found_by_arguments_of_the_right_type() -> None:
    async with AsyncTasks("app", token="t", url="http://127.0.0.1:1", transport=NoCalls()) as tasks:
        with pytest.raises(ValueError, match="run_id must be text"):
            await tasks.find("work-iad-0/\udcff")
        with pytest.raises(ValueError, match="task must be text"):
            await tasks.runs("\udcff")
        with pytest.raises(TypeError, match="since must be a datetime or a timedelta, not str"):
            await tasks.runs(since="1h")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="since must have a time zone"):
            await tasks.runs(since=datetime(2026, 1, 1))
        with pytest.raises(TypeError, match="failed must be True or False, not str"):
            await tasks.runs(failed="no")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="run_id must be a string"):
            await tasks.find(7)  # type: ignore[arg-type]


def test_the_synchronous_face_refuses_the_same() -> None:
    with (
        Tasks("app", token="t", url="http://127.0.0.1:1") as tasks,
        pytest.raises(TypeError, match="args must be a list of strings"),
    ):
        tasks.invoke("work", args="ab cd")
