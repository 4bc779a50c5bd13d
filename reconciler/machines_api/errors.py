"""Classify error replies, in one table. No other file reads the texts of errors.

The platform documents almost no error replies, and one status can mean many things: where a text is known, it decides.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.machines_api.remedies import hint_for, why_unanswered
from reconciler.machines_api.values import MalformedError, json_of, text_of
from reconciler.model.concealment import CONCEALED, SHORTEST_SECRET, Forms, forms_of, without_beginning

K = ApiErrorKind


class _Row(NamedTuple):
    statuses: frozenset[int]  # empty: any
    text: str  # a part of the message or the status word, in lower case; empty: any
    kind: ApiErrorKind


def _row(statuses: str, text: str, kind: ApiErrorKind) -> _Row:
    return _Row(frozenset(int(status) for status in statuses.split()), text, kind)


# First match wins.
_TABLE: Final = (
    _row("429", "", K.RATE_LIMITED),
    _row("", "rate limit exceeded", K.RATE_LIMITED),
    _row("", "lease currently held by", K.LEASE_HELD),
    _row("404", "lease not found", K.LEASE_NOT_FOUND),
    _row("", "unique machine name violation", K.NAME_TAKEN),
    _row("", "name_taken", K.NAME_TAKEN),
    _row("422", "has already been taken", K.NAME_TAKEN),
    _row("422", "uniqueness constraint violated", K.NAME_TAKEN),
    _row("409 412", "concurrent update", K.CONCURRENT_UPDATE),
    _row("", "failed to reach desired state", K.WAIT_EXPIRED),
    _row("400 404 408 409 412", "currently replaced", K.REPLACED),
    _row("400 409 412", "current_version", K.STALE_VERSION),
    _row("400 409 412", "current version", K.STALE_VERSION),
    _row("412", "not currently stopped", K.STILL_RUNNING),
    _row("", "unable to start machine from current state", K.SETTLING),
    _row("", "getting replaced", K.SETTLING),
    _row("", "machine still active", K.SETTLING),
    _row("409 412", "already claimed", K.VOLUME_BUSY),
    _row("409 412", "currently bound to machine", K.VOLUME_BUSY),
    _row("", "could not reserve resource", K.CAPACITY),
    _row("409 412", "insufficient ", K.CAPACITY),
    _row("", "insufficient_capacity", K.CAPACITY),
    _row("412", "volume_placement_capacity", K.CAPACITY),
    _row("409", "no capacity", K.CAPACITY),
    _row("", "are temporarily disabled", K.HOST_MAINTENANCE),
    _row("", "governor policy blocked start", K.HOST_MAINTENANCE),
    _row("403 409 412 422", "add a payment method", K.QUOTA),
    _row("403 409 412 422", "quota", K.QUOTA),
    _row("422", "machine limit", K.QUOTA),
    _row("", "manifest_unknown", K.IMAGE_NOT_READY),
    _row("", "failed to get manifest", K.IMAGE_NOT_READY),
    _row("503", "the engine cannot write", K.REFUSED),
    _row("401", "", K.UNAUTHORIZED),
    _row("403", "", K.FORBIDDEN),
    _row("404", "", K.NOT_FOUND),
    _row("408", "", K.UNCLEAR),
    _row("400 413 422", "", K.BAD_INPUT),
)

# What the platform writes to a machine's log when it cannot start the machine.
_LOG_TABLE: Final = (
    _row("", "unable to pull image", K.IMAGE_NOT_READY),
    _row("", "failed to pull image", K.IMAGE_NOT_READY),
    _row("", "manifest unknown", K.IMAGE_NOT_READY),
)

_MESSAGES: Final = ("message", "error", "details")
_SHOWN: Final = 300
_LOCATION_SHOWN: Final = 100
_READ: Final = 4096  # characters of a text that are searched; the rest is cut off first
_MARKUP: Final = re.compile(r"<[^<>]*>")
_QUOTES_A_CONFIG: Final = r"(?i)config|env|files|raw_value"
_MACHINE_ID: Final = r"machine ID (\w+)|(?:claimed by|bound to) machine:? (\w+)"
_SECONDS: Final = r"[0-9]{1,9}"
_HOLDER: Final = r"lease currently held by (\S+?)[,\s]"
_EXPIRY: Final = r"expires at (\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)"


def error_from_reply(
    what: str,
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    *,
    now: datetime,
    app: str | None = None,
    secrets: Iterable[str] = (),
    forms: Forms = forms_of,
) -> ApiError:
    """Return the error for a reply with any status other than 2xx.

    `what` names the call, without secrets, `app` the app that it is about. `secrets` are the secret values that the
    call was sent with: a reply may quote them, and they are masked here, in all their `forms`.
    """
    text, word = _texts(body)
    secrets = tuple(secrets)
    text = conceal(text, secrets, forms)
    request_id = conceal(headers.get("fly-request-id") or "", secrets, forms)
    kind = classify(status, f"{word} {text}")
    if kind in {K.REFUSED, K.BAD_INPUT} and _is_cut_off(body):
        kind = K.UNCLEAR  # the text that would classify it is missing
    if kind is K.NOT_FOUND and _is_foreign(body):
        kind = K.NOT_AN_API  # a 404 of another server does not say that an app or a machine does not exist
    if kind is K.UNCLEAR and status == 501:
        kind = K.REFUSED
    suffix = f" (request {shorten(request_id, 60)})" if request_id else ""
    held = re.search(_HOLDER, text + " ")
    machine = re.search(_MACHINE_ID, text)
    return ApiError(
        f"{what}: {_shown(status, text, conceal(headers.get('location') or '', secrets, forms))}{suffix}",
        kind=kind,
        status=status,
        request_id=request_id or None,
        hint=hint_for(kind, app, status=status, text=text),
        machine_id=machine[1] or machine[2] if machine else None,
        held_by=held.group(1).rstrip(",") if held else None,
        held_until=_expiry(text),
        retry_after_s=retry_after(headers.get("retry-after"), now=now),
    )


def error_without_reply(what: str, why: str, kind: ApiErrorKind) -> ApiError:
    """Return the error for a call without a usable reply.

    `kind` says whether the call may have had an effect.
    """
    said, hint = why_unanswered(why, kind)
    return ApiError(f"{what}: {shorten(said)}", kind=kind, hint=hint)


def error_of_answer(what: str, why: str, kind: ApiErrorKind, *, status: int, request_id: str | None) -> ApiError:
    """Return the error for a 2xx or 3xx reply that no Machines API gives."""
    suffix = f" (request {shorten(request_id, 60)})" if request_id else ""
    return ApiError(f"{what}: {why}{suffix}", kind=kind, status=status, request_id=request_id, hint=hint_for(kind))


def _shown(status: int, text: str, location: str) -> str:
    """Return what a reply says: its text, or where it redirects to."""
    if 300 <= status < 400 and location:
        return f"{status}: it redirects to {shorten(location, _LOCATION_SHOWN)}"
    said = shorten(text).removeprefix(f"{status} ")
    return f"{status} {said}" if said else f"{status} without a message"


def classify(status: int, text: str) -> ApiErrorKind:
    """Return what a status and text mean.

    After a 5xx with an unknown text the effect of the call is unclear.
    """
    lowered = text.lower()
    for row in _TABLE:
        if (not row.statuses or status in row.statuses) and row.text in lowered:
            return row.kind
    if status >= 500:
        return K.UNCLEAR
    return K.NOT_AN_API if status < 400 else K.REFUSED


def classify_log(text: str) -> ApiErrorKind | None:
    """Return what a line that the platform wrote to a machine's log means.

    None for any other line.
    """
    return next((row.kind for row in _LOG_TABLE if row.text in text.lower()), None)


def conceal(text: str, secrets: Iterable[str], forms_of: Forms = forms_of) -> str:
    """Mask the secrets in a text, in every form that a reply may use.

    A secret that is shorter than SHORTEST_SECRET cannot be masked without revealing it by the gap. A text that has one
    and quotes a config is not shown at all.
    """
    if not text:
        return text
    found = [one for one in secrets if one]
    forms = {form for secret in found for form in forms_of(secret) if len(form) >= SHORTEST_SECRET}
    text = text[:_READ]
    for form in sorted(forms, key=len, reverse=True):
        if len(form) <= len(text) and _may_have(text, form):
            text = re.sub(re.escape(form), CONCEALED, text, flags=re.IGNORECASE)
        text = without_beginning(text, form)  # the text may be cut off in the middle of a secret
    if any(len(one) < SHORTEST_SECRET and one in text for one in found) and re.search(_QUOTES_A_CONFIG, text):
        return "the answer quotes what was sent, and is not shown"
    return text


def _may_have(text: str, form: str) -> bool:
    """Return False where the text surely lacks the form, in any case of its letters."""
    return not (text.isascii() and form.isascii()) or form.lower() in text.lower()


def shorten(text: str | None, limit: int = _SHOWN) -> str:
    """Return foreign text on one line, cut to `limit` characters.

    Control characters and markup are removed.
    """
    text = text or ""
    without_markup = _MARKUP.sub(" ", text[:_READ])
    printable = "".join(character if character.isprintable() else " " for character in without_markup)
    folded = " ".join(printable.split())
    return folded if len(folded) <= limit and len(text) <= _READ else folded[: limit - 1] + "…"


def retry_after(value: str | None, *, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header; None if it is invalid."""
    if not value:
        return None
    if re.fullmatch(_SECONDS, value.strip()):
        return float(value.strip())
    from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(value)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max(0.0, (at - now).total_seconds())
    except (ValueError, OverflowError, TypeError):
        return None


def _texts(body: bytes) -> tuple[str, str]:
    """Return the message and the status word of an error body, JSON or not."""
    plain = body[:_READ].decode("utf-8", "replace")
    try:
        parsed = json_of(body)
    except ValueError:
        return plain, ""
    if not isinstance(parsed, dict):
        return plain, ""
    message = next((value for name in _MESSAGES if (value := parsed.get(name))), "")
    text = message if isinstance(message, str) else plain
    return text[:_READ], text_of(parsed.get("status"))[:_READ]


def _is_cut_off(body: bytes) -> bool:
    """Return whether the body begins as JSON and is truncated."""
    return body.lstrip().startswith(b"{") and not _is_json(body)


def _is_foreign(body: bytes) -> bool:
    """Return whether the body is not JSON, as the error page of a web server."""
    return bool(body.strip()) and not body.lstrip().startswith(b"{") and not _is_json(body)


def _is_json(body: bytes) -> bool:
    """Return whether the body is JSON, however deeply nested."""
    try:
        json_of(body)
    except ValueError as error:
        return isinstance(error, MalformedError)
    return True


def _expiry(text: str) -> datetime | None:
    found = re.search(_EXPIRY, text)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(f"{found.group(1)}T{found.group(2)}+00:00")
    except ValueError:
        return None
