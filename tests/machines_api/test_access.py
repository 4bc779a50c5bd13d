"""Which token is taken, and how it is sent."""

import pytest

from reconciler.errors import TargetError
from reconciler.http import is_loopback
from reconciler.machines_api.access import (
    api_base_url,
    authorization_header,
    find_token,
    is_fly,
    logs_base_url,
    parse_target_url,
    registry_password,
)
from reconciler.model.secret import Secret


@pytest.mark.parametrize(
    ("token", "header"),
    [
        ("plain", "Bearer plain"),
        ("Bearer plain", "Bearer plain"),
        ("  bearer   Bearer plain ", "Bearer plain"),
        ("fm2_abc", "FlyV1 fm2_abc"),
        ("FlyV1 fm2_abc", "FlyV1 fm2_abc"),
        ("FlyV1 fm2_a,fm1r_b, fm1a_c", "FlyV1 fm2_a,fm1r_b,fm1a_c"),
        ("fm2_a,fo1_personal,fm2_b", "FlyV1 fm2_a,fm2_b"),
    ],
)
def test_macaroons_and_other_tokens_go_out_under_their_own_scheme(token: str, header: str) -> None:
    assert authorization_header(Secret(token)) == header


@pytest.mark.parametrize(
    ("environment", "stored", "expected"),
    [
        ({"FLY_ACCESS_TOKEN": "a", "FLY_API_TOKEN": "b"}, "access_token: c", ("a", "FLY_ACCESS_TOKEN")),
        ({"FLY_API_TOKEN": "b"}, "access_token: c", ("b", "FLY_API_TOKEN")),
        ({"FLY_API_TOKEN": " "}, "access_token: c", ("c", "flyctl's config.yml")),
        ({}, "access_token: ''", None),
        ({}, "other: c", None),
        ({}, "- a list", None),
        ({}, None, None),
    ],
)
def test_the_environment_comes_before_what_flyctl_stored(
    environment: dict[str, str], stored: str | None, expected: tuple[str, str] | None
) -> None:
    found = find_token(environment, lambda: stored)
    assert (found and (found[0].reveal(), found[1])) == expected


@pytest.mark.parametrize("value", ["with\nnewline", "with\x00nul", "wïth"])
def test_a_token_that_no_header_can_carry_is_refused_by_its_source_and_not_shown(value: str) -> None:
    with pytest.raises(TargetError) as caught:
        find_token({"FLY_API_TOKEN": value}, lambda: None)
    assert "FLY_API_TOKEN" in caught.value.message
    assert value not in caught.value.message


def test_a_secret_does_not_print() -> None:
    assert "hush" not in f"{Secret('hush')} {Secret('hush')!r}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://api.machines.dev", "https://api.machines.dev"),
        ("https://api.machines.dev/v1", "https://api.machines.dev"),
        ("https://api.machines.dev/v1/", "https://api.machines.dev"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/v1", "http://[::1]:8080"),
        ("https://proxy.example/fly/v1?x=1", "https://proxy.example/fly"),
    ],
)
def test_a_base_url_is_taken_with_or_without_its_version(text: str, expected: str) -> None:
    assert parse_target_url(text) == expected


@pytest.mark.parametrize("text", ["ftp://x", "http://", "http://x:port", "https://user:pass@x", "nothing"])
def test_what_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(TargetError):
        parse_target_url(text)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "https://api.machines.dev"),
        ({"FLY_API_HOSTNAME": "http://_api.internal:4280"}, "http://_api.internal:4280"),
        ({"FLY_API_HOSTNAME": "api.example"}, "https://api.example"),
        ({"FLY_FLAPS_BASE_URL": "http://a/v1", "FLY_API_HOSTNAME": "http://b"}, "http://a"),
    ],
)
def test_the_official_tools_variables_name_the_api(environment: dict[str, str], expected: str) -> None:
    assert api_base_url(environment) == expected


def test_logs_and_with_them_the_token_go_to_no_host_that_nobody_chose() -> None:
    assert logs_base_url("https://api.machines.dev", {}) == "https://api.fly.io"
    assert logs_base_url("http://my.host", {}) == "http://my.host"
    assert logs_base_url("http://my.host", {"FLY_API_BASE_URL": "https://logs.host"}) == "https://logs.host"
    assert not is_fly("https://api.machines.dev.evil.example")
    assert is_loopback("http://127.0.0.1:1")
    assert not is_loopback("http://10.0.0.1")


@pytest.mark.parametrize(
    ("token", "password"),
    [
        ("fo1_abc", "fo1_abc"),
        ("Bearer fo1_abc", "fo1_abc"),
        ("FlyV1 fm2_a,fm2_b", "fm2_a,fm2_b"),
        ("FlyV1 fm2_a,fo1_user", "fm2_a"),
    ],
)
def test_flys_registry_takes_the_macaroons_else_the_token(token: str, password: str) -> None:
    assert registry_password(Secret(token)).reveal() == password
