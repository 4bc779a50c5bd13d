"""Read a machine's log: one call for each page, parsed into lines."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

from reconciler.machines_api.calls import Call, app_path
from reconciler.machines_api.transport import Transport
from reconciler.machines_api.values import list_of, object_of, text_of, time_of

_TIMEOUT_S: Final = 4.0  # short: a log is asked again soon


class LogLine(Struct, frozen=True, kw_only=True):
    """One line of a machine's log.

    `stream` is stdout or stderr, None if the target does not say. `provider` is who wrote it. `attempt` counts the
    starts of the line's run from 1; above 1 the platform restarted it.
    """

    id: str
    timestamp: datetime
    message: str
    stream: str | None
    provider: str | None
    level: str
    attempt: int = 1

    @property
    def is_output(self) -> bool:
        """Return whether the machine's own command wrote the line."""
        return self.provider in {"app", None}

    @property
    def is_platform_error(self) -> bool:
        """Return whether it is an error message of the platform about the machine."""
        return not self.is_output and self.level == "error"


class LogPage(Struct, frozen=True, kw_only=True):
    """The lines of one page, oldest first, and the token of the next page."""

    lines: tuple[LogLine, ...]
    next_token: str | None


class Logs:
    """Read logs: `client.logs`. They may be at another URL than the machines."""

    def __init__(self, api: Transport) -> None:
        self._api = api

    async def read(self, app: str, *, machine_id: str, next_token: str | None) -> LogPage:
        """Return one page of the machine's log.

        It begins at `next_token`, in nanoseconds since 1970; without it, at the newest lines, about a hundred. Sent
        once: the callers repeat it themselves, from the same token.
        """
        query = {"instance": machine_id} | ({"next_token": next_token} if next_token else {})
        call = Call(
            method="GET",
            path=f"/api{app_path(app)}/logs",
            what=f"read logs of {app}",
            action="read_logs",
            identifier=app,
            query=query,
            timeout_s=_TIMEOUT_S,
            is_repeatable=True,
            is_sent_once=True,
        )
        return await self._api.send(call, logs_from_json)


def logs_from_json(value: Any) -> LogPage:
    """Parse a page of a log."""
    page = object_of(value, "a page of logs")
    meta = page.get("meta")
    token = meta.get("next_token") if isinstance(meta, dict) else None
    lines = tuple(_log_line(one) for one in list_of(page.get("data")) if isinstance(one, dict))
    return LogPage(lines=lines, next_token=text_of(token) or None)


def _log_line(entry: Mapping[str, Any]) -> LogLine:
    attributes = entry.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    meta = attributes.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    event = meta.get("event")
    provider = text_of(event.get("provider")) if isinstance(event, dict) else ""
    stream = text_of(meta.get("stream"))
    message = text_of(attributes.get("message"))
    at = time_of(attributes.get("timestamp")) or datetime.fromtimestamp(0, UTC)
    return LogLine(
        id=text_of(entry.get("id")) or f"{at} {message}",
        timestamp=at,
        message=message,
        stream=stream if stream in {"stdout", "stderr"} else None,
        provider=provider or None,
        level=text_of(attributes.get("level")),
    )
