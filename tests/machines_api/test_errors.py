"""What each status and text means: every row of the platform's known errors, as they have been seen."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.errors import ApiErrorKind
from reconciler.machines_api.calls import delay_before_retry
from reconciler.machines_api.errors import classify, error_from_reply, retry_after

K = ApiErrorKind
NOW = datetime(2026, 1, 1, tzinfo=UTC)

SEEN = [
    (
        409,
        "aborted: machine ID 1 lease currently held by x@tokens.fly.io, expires at 2026-01-01T00:00:00Z",
        K.LEASE_HELD,
    ),
    (409, 'already_exists: unique machine name violation, machine ID 1 already exists with name "a"', K.NAME_TAKEN),
    (422, "Validation failed: Name has already been taken name_taken", K.NAME_TAKEN),
    (422, "uniqueness constraint violated", K.NAME_TAKEN),
    (409, "aborted: machine update failed due to concurrent update", K.CONCURRENT_UPDATE),
    (412, "machine is replacing: concurrent update in progress", K.CONCURRENT_UPDATE),
    (409, "could not reserve resource for machine: insufficient CPUs available", K.CAPACITY),
    (409, "insufficient memory available to fulfill request", K.CAPACITY),
    (409, "insufficient resources available to fulfill request", K.CAPACITY),
    (422, "insufficient_capacity", K.CAPACITY),
    (503, "insufficient_capacity", K.CAPACITY),
    (409, "region fra has no capacity", K.CAPACITY),
    (412, "failed_precondition: volume already claimed by machine: 90801", K.VOLUME_BUSY),
    (412, "volume already claimed by machine \x00\x00", K.VOLUME_BUSY),
    (409, "volume is currently bound to machine: 90801", K.VOLUME_BUSY),
    (412, "volume_placement_capacity", K.CAPACITY),
    (412, "insufficient resources to create new machine with existing volume", K.CAPACITY),
    (412, "failed_precondition: unable to start machine from current state: 'created'", K.SETTLING),
    (412, "failed_precondition: machine getting replaced, refusing to start", K.SETTLING),
    (412, "failed_precondition: machine still active, refusing to start", K.SETTLING),
    (412, "unable to destroy machine, not currently stopped, suspended, failed or created", K.STILL_RUNNING),
    (503, "unavailable: deploys to this host are temporarily disabled", K.HOST_MAINTENANCE),
    (409, "governor policy blocked start", K.HOST_MAINTENANCE),
    (503, "unavailable: the engine cannot write: database or disk is full", K.REFUSED),
    (400, "MANIFEST_UNKNOWN: manifest unknown", K.IMAGE_NOT_READY),
    (500, "failed to get manifest registry.fly.io/x", K.IMAGE_NOT_READY),
    (408, "deadline_exceeded: machine failed to reach desired state, started, currently stopped", K.WAIT_EXPIRED),
    (504, "machine failed to reach desired state, started, currently stopped", K.WAIT_EXPIRED),
    (429, "resource_exhausted: rate limit exceeded", K.RATE_LIMITED),
    (503, "rate limit exceeded", K.RATE_LIMITED),
    (404, "lease not found", K.LEASE_NOT_FOUND),
    (404, "machine not found", K.NOT_FOUND),
    (408, "", K.UNCLEAR),
    (500, "unknown: it broke", K.UNCLEAR),
    (502, "<html>bad gateway</html>", K.UNCLEAR),
    (400, "invalid_argument: no", K.BAD_INPUT),
    (422, "unprocessable", K.BAD_INPUT),
    (401, "", K.UNAUTHORIZED),
    (403, "unauthorized", K.FORBIDDEN),
    (302, "", K.NOT_AN_API),
    (418, "teapot", K.REFUSED),
]


@pytest.mark.parametrize(("status", "text", "kind"), SEEN)
def test_every_known_answer_has_its_meaning_in_any_case(status: int, text: str, kind: ApiErrorKind) -> None:
    assert classify(status, text) is kind
    assert classify(status, text.upper()) is kind


def test_an_error_names_the_call_the_request_the_holder_and_the_expiry() -> None:
    text = "aborted: machine ID 4d89 lease currently held by ab12@tokens.fly.io, expires at 2026-01-02T03:04:05Z"
    body = f'{{"error": "{text}"}}'.encode()
    error = error_from_reply("start machine 4d89 of app", 409, body, {"fly-request-id": "01ABC-fra"}, now=NOW)
    assert error.held_by == "ab12@tokens.fly.io"
    assert error.held_until == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert "start machine 4d89 of app" in error.message
    assert "01ABC-fra" in error.message


@pytest.mark.parametrize(
    ("text", "holder"),
    [
        ("volume already claimed by machine: 90801", "90801"),
        ("volume is currently bound to machine: 90801", "90801"),
        ("volume already claimed by machine \\u0000\\u0000", None),
    ],
)
def test_the_machine_that_has_a_volume_is_read_where_it_is_told(text: str, holder: str | None) -> None:
    error = error_from_reply("create", 412, f'{{"error": "failed_precondition: {text}"}}'.encode(), {}, now=NOW)
    assert error.kind is K.VOLUME_BUSY
    assert error.machine_id == holder


def test_the_status_word_outranks_the_text() -> None:
    error = error_from_reply("x", 409, b'{"error": "sorry", "status": "insufficient_capacity"}', {}, now=NOW)
    assert error.kind is K.CAPACITY


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"404 page not found\n", K.NOT_AN_API),
        (b"<html>Not Found</html>", K.NOT_AN_API),
        (b"lease not found", K.LEASE_NOT_FOUND),
        (b'{"error": "app not found"}', K.NOT_FOUND),
        (b'{"error": "app not fou', K.NOT_FOUND),
        (b'"app not found"', K.NOT_FOUND),
        (b"null", K.NOT_FOUND),
        (b" \n", K.NOT_FOUND),
        (b"", K.NOT_FOUND),
    ],
)
def test_what_is_not_found_is_told_as_json_or_by_nothing_but_the_status(body: bytes, kind: ApiErrorKind) -> None:
    assert error_from_reply("list machines of app", 404, body, {}, now=NOW).kind is kind


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[1]", b"\xff\xfe", b'{"error": null}', b"<p>\x1b[31mred" + b"x" * 9999]
)
def test_any_body_gives_one_short_printable_line(body: bytes) -> None:
    message = error_from_reply("list machines", 400, body, {}, now=NOW).message
    assert message.isprintable()
    assert len(message) < 400
    assert "<p>" not in message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("soon", None),
        ("-3", None),
        ("nan", None),
        ("²", None),
        ("٣", None),
        ("9" * 5000, None),
        ("Mon, 01 Jan 99999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 00:00:00 +9999", None),
        ((NOW + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT"), 90.0),
        ((NOW - timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT"), 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_never_nonsense(value: str | None, expected: float | None) -> None:
    assert retry_after(value, now=NOW) == expected


def delay(kind: ApiErrorKind, **changes: object) -> float | None:
    options: dict[str, object] = {
        "is_repeatable": False,
        "attempt": 1,
        "elapsed_s": 0.0,
        "rate_patience_s": 60.0,
        "retry_after_s": None,
        "jitter": 0.5,
    }
    return delay_before_retry(kind, **(options | changes))  # type: ignore[arg-type]


def test_a_call_is_repeated_only_where_that_is_harmless() -> None:
    assert delay(K.UNCLEAR) is None
    assert delay(K.UNCLEAR, is_repeatable=True) is not None
    assert delay(K.UNCLEAR, is_repeatable=True, attempt=4) is None
    assert delay(K.UNREACHABLE) is not None
    assert delay(K.UNREACHABLE, attempt=3) is None
    for final in (K.BAD_INPUT, K.FORBIDDEN, K.NOT_FOUND, K.CAPACITY, K.LEASE_HELD, K.NAME_TAKEN, K.NOT_AN_API):
        assert delay(final, is_repeatable=True) is None


def test_a_429_is_waited_out_as_long_as_it_asks_within_the_callers_patience() -> None:
    assert delay(K.RATE_LIMITED, retry_after_s=7.0) == 7.0
    assert delay(K.RATE_LIMITED, retry_after_s=900.0) == 60.0
    assert delay(K.RATE_LIMITED, retry_after_s=0.0) == 0.0
    assert delay(K.RATE_LIMITED, elapsed_s=55.0, retry_after_s=20.0) == 5.0
    assert delay(K.RATE_LIMITED, elapsed_s=60.0) is None
    assert delay(K.RATE_LIMITED, attempt=1) == 1.0


PEM = "-----BEGIN KEY-----\nMIIEcanaryfirst\nMIIEcanarysecond\n-----END KEY-----"
SECRETS = (PEM, 'canary "quoted" \\ back', base64.b64encode(b"canary file content").decode(), "canary-plain")


@pytest.mark.parametrize("quoted", [json.dumps, repr, str, lambda one: " ".join(one.split()), lambda one: one.upper()])
def test_a_secret_is_concealed_in_whatever_form_it_is_quoted(quoted: Callable[[str], str]) -> None:
    text = f"invalid: {' | '.join(quoted(one) for one in SECRETS)} and canary file content and MIIEcanarysecond"
    body = json.dumps({"error": text}).encode()
    message = error_from_reply("x", 400, body, {}, now=NOW, secrets=SECRETS).message
    assert "canary" not in message.lower()
    assert "***" in message


def test_a_word_is_left_alone_unless_a_config_is_quoted() -> None:
    body = b'{"error": "the region info is not there"}'
    assert "region info" in error_from_reply("x", 400, body, {}, now=NOW, secrets=("info",)).message
    body = b'{"error": "bad config: {env: {PIN: 1234}}"}'
    assert "1234" not in error_from_reply("x", 400, body, {}, now=NOW, secrets=("1234",)).message


@pytest.mark.parametrize("member", [b"[" * 900 + b"]" * 900, b"[" * 9000 + b"]" * 9000, b"7" * 5000, b"{}", b"3"])
def test_any_json_in_a_refusal_is_shown_as_it_came(member: bytes) -> None:
    body = b'{"error": ' + member + b', "status": ' + member + b"}"
    error = error_from_reply("do it", 422, body, {}, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert error.kind is ApiErrorKind.BAD_INPUT
    assert "do it: 422" in error.message
