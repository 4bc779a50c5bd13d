"""The JSON of an answer becomes values that no later code fails at."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.machines_api.values import MalformedError, is_deep, is_id, json_of, members_of, text_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 1.5, null, true, "\\u00e9"]}', {"a": [1, 1.5, None, True, "é"]}),
        (b"[" + b"7" * 5000 + b"]", ["7" * 5000]),
        (b"[NaN, -Infinity, 1e999, 1e3]", ["NaN", "-Infinity", "1e999", 1000.0]),
        (b'["\\ud800", "\\ud83d\\ude00"]', ["?", "😀"]),
        (b'{"code": 1, "code": 2}', {"code": 2}),
        (b'["\xff"]', ["\ufffd"]),
        (b"\xef\xbb\xbf[]", []),
    ],
)
def test_what_a_reader_may_choke_on_is_read_as_something_harmless(text: bytes, value: object) -> None:
    found = json_of(text)
    assert found == value
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
LONG = st.integers(2**63 - 2, 2**80) | st.integers(-(2**80), -(2**63) + 2)


@given(VALUES | LONG, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_whatever_can_be_written_as_json_is_read_as_it_was(value: object, is_ascii: bool, indent: Any) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent)
    assert repr(json_of(text.encode())) == repr(value)


@given(st.binary() | st.text(alphabet='[]{}",:0123456789.eE+- \\untrfalsx').map(str.encode))
def test_what_is_read_is_what_python_reads_of_it(content: bytes) -> None:
    try:
        value = json_of(content)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011
            json.loads(content.decode("utf-8-sig", "replace"))
    else:
        text = content.decode("utf-8-sig", "replace")
        assert repr(value) == repr(json.loads(text, parse_constant=str, parse_float=finite))


MEMBERS = (
    b'"\\ud800"',
    b'"\xff"',
    b"1e999",
    b"7" * 5000,
    b"null",
    b'{"a": [1]}',
    b" 1 ",
    b"[",
    b"1 2",
    b"\xef\xbb\xbf1",
)


@given(
    st.binary()
    | st.text(alphabet='[]{}",:0123456789.eE+- \\untrfalsx').map(str.encode)
    | st.lists(st.sampled_from(MEMBERS)).map(lambda members: b"[" + b",".join(members) + b"]")
)
def test_members_one_by_one_are_what_the_whole_is(content: bytes) -> None:
    def by_members(content: bytes) -> object:
        found = members_of(content)
        return [*found] if isinstance(found, Iterator) else found

    assert outcome(by_members, content) == outcome(json_of, content)


def outcome(read: Callable[[bytes], object], content: bytes) -> object:
    try:
        return repr(read(content))
    except ValueError as error:
        return type(error)


def finite(text: str) -> float | str:
    return float(text) if math.isfinite(float(text)) else text


def test_what_is_nested_too_deeply_is_not_understood_and_what_is_cut_off_is_no_json() -> None:
    with pytest.raises(MalformedError, match="less nesting"):
        json_of(b"[" * sys.getrecursionlimit() * 100 + b"]" * sys.getrecursionlimit() * 100)
    with pytest.raises(json.JSONDecodeError):
        json_of(b'[{"id": "1"')


def test_depth_is_counted_in_maps_and_lists() -> None:
    empty: tuple[Any, ...] = ([], {})
    for nested in empty:
        for _ in range(39):
            nested = [nested] if isinstance(nested, list) else {"a": nested}
        assert not is_deep(nested)
        assert is_deep([nested])


@pytest.mark.parametrize(
    ("value", "text"), [("x", "x"), (3, "3"), (True, ""), (None, ""), ([1], ""), ({"a": 1}, ""), (1.5, "1.5")]
)
def test_a_text_is_a_text_or_a_number(value: object, text: str) -> None:
    assert text_of(value) == text


def test_an_id_can_stand_in_a_path() -> None:
    assert all(is_id(one) for one in ("148ed193b01189", "m-1", "A.b_c"))
    assert not any(is_id(one) for one in ("", "..", ".", "a/b", "a?b", "é", "a b", "x" * 101, None, 3, "a\n"))
