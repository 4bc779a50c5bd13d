"""Values as Go writes them, and commands as flyctl splits them. The answers are those of flyctl's own code."""

import tomllib

import pytest

from reconciler.drafts.fly_toml.values import (
    duration_of,
    gigabytes_of,
    go_duration,
    megabytes_of,
    text_of,
    whole_of,
    words_of,
)
from reconciler.errors import UsageError


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("true", "true"),
        ("-7", "-7"),
        ("1.0", "1"),
        ("0.0", "0"),
        ("0.1", "0.1"),
        ("123456.75", "123456.75"),
        ("1000000.0", "1e+06"),
        ("123456789.5", "1.234567895e+08"),
        ("1e21", "1e+21"),
        ("1.5e-7", "1.5e-07"),
        ("0.0001", "0.0001"),
        ("-2.5e300", "-2.5e+300"),
        ("inf", "+Inf"),
        ("-inf", "-Inf"),
        ("nan", "NaN"),
        ("[1, 'a', true]", "[1 a true]"),
        ("{b = 1, a = 'x'}", "map[a:x b:1]"),
        ("1979-05-27", "1979-05-27"),
        ("1979-05-27T07:32:00Z", "1979-05-27 07:32:00 +0000 UTC"),
        ("1979-05-27T07:32:00-08:00", "1979-05-27 07:32:00 -0800 -0800"),
    ],
)
def test_a_value_of_env_is_written_as_go_does(toml: str, expected: str) -> None:
    assert text_of(tomllib.loads(f"a = {toml}")["a"]) == expected


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("90s", None, "1m30s"),
        ("1h", None, "1h0m0s"),
        ("1.5s", None, "1.5s"),
        ("1500ms", None, "1.5s"),
        ("100ms", None, "100ms"),
        ("1500us", None, "1.5ms"),
        ("7ns", None, "7ns"),
        ("0", None, "0s"),
        ("25h30m", None, "25h30m0s"),
        (5, "s", "5s"),
        (10000, "ms", "10s"),
        (30_000_000_000, None, "30s"),
        (2.9, "s", "2s"),
        ("", "s", None),
        (None, "s", None),
    ],
)
def test_durations_are_spelled_as_go_does(value: object, unit: str | None, expected: str | None) -> None:
    assert duration_of(value, "kill_timeout", unit=unit) == expected


@pytest.mark.parametrize("value", ["5", "1 h", "h", "-5s", "5s ", -1, float("nan"), 10**30, True, [], "1d"])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="kill_timeout is no duration"):
        duration_of(value, "kill_timeout", unit="s")


def test_a_short_duration_has_the_unit_that_go_gives_it() -> None:
    assert [go_duration(one) for one in (0, 1500, 2_000_000)] == ["0s", "1.5µs", "2ms"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(512, 512), ("512", 512), ("512mb", 512), ("2gb", 2048), ("2GiB", 2048), ("1.5 GB", 1536), ("1048576", 1048576)],
)
def test_memory_is_counted_in_steps_of_1024(size: object, expected: int) -> None:
    assert megabytes_of(size, "vm.memory") == expected


@pytest.mark.parametrize(("size", "expected"), [(3, 3), ("3gb", 3), ("1500mb", 1), ("1TB", 1000), ("20GB", 20)])
def test_volumes_are_counted_in_steps_of_1000(size: object, expected: int) -> None:
    assert gigabytes_of(size, "mounts.initial_size") == expected


@pytest.mark.parametrize("size", ["big", "", "1.2.3gb", "5 parsecs", "-1gb", "1Gi", True])
def test_what_is_no_size_is_refused(size: object) -> None:
    with pytest.raises(UsageError, match=r"vm.memory is no size"):
        megabytes_of(size, "vm.memory")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("", []),
        ("  a   b\t\nc ", ["a", "b", "c"]),
        ("a 'b c' \"d e\"", ["a", "b c", "d e"]),
        ("a''b \"\" ''", ["ab", "", ""]),
        (r"a\ b \"c", ["a b", '"c']),
        (r'"a\tb" ' + r"'a\tb'", ["atb", r"a\tb"]),
        ("run # the rest\nnext", ["run", "next"]),
        ("run#1 --tag=#2", ["run#1", "--tag=#2"]),
        ("größe '世界'", ["größe", "世界"]),
    ],
)
def test_commands_are_split_as_flyctl_does(command: str, expected: list[str]) -> None:
    assert words_of(command, "processes.app") == expected


@pytest.mark.parametrize("command", ["a 'b", 'a "b', "a\\"])
def test_a_command_without_its_end_is_refused(command: str) -> None:
    with pytest.raises(UsageError, match=r"processes\.app"):
        words_of(command, "processes.app")


@pytest.mark.parametrize("value", ["eighty", "9" * 5000, 80.5, True, None, []])
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="port is no whole number"):
        whole_of(value, "port")


def test_numbers_may_stand_in_quotes() -> None:
    assert [whole_of(one, "port") for one in ("80", 80, 80.0)] == [80, 80, 80]
