"""The head of a reply, as bytes: the status line and the headers."""

from http import HTTPStatus
from typing import Final

from reconciler.engine.http.messages import Response

_STATUS_LINES: Final = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n" for one in HTTPStatus}


def response_head(response: Response, date: str, *, keeps_alive: bool, is_chunked: bool = False) -> bytes:
    """Return the head; `is_chunked` is for a body that comes in chunks."""
    status = _STATUS_LINES.get(response.status_code) or f"HTTP/1.1 {response.status_code} \r\n"
    lines = [f"{name}: {value}\r\n" for name, value in response.header_items()]
    closing = "" if keeps_alive else "connection: close\r\n"
    coding = "transfer-encoding: chunked\r\n" if is_chunked else ""
    return f"{status}date: {date}\r\n{''.join(lines)}{closing}{coding}\r\n".encode("latin-1")
