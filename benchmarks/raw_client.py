"""A client of one server that costs next to nothing: prepared bytes on connections that stay open.

It reads from stdin what to ask, as JSON: {"host": …, "port": …, "connections": 10, "jobs": [[bytes as text, …], …]}.
The requests of a job are sent one after the other, the jobs on as many connections as are asked for. It writes the
seconds that took.
"""

import asyncio
import json
import re
import sys
import time
from collections import deque

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def request_text(method: str, path: str, *, token: str, body: str = "") -> str:
    """A whole request, as a job has it."""
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n"
    return head + f"content-type: application/json\r\ncontent-length: {len(body.encode())}\r\n\r\n{body}"


class Connection(asyncio.Protocol):
    """One request at a time; an answer that is not 2xx ends the program."""

    transport: asyncio.Transport
    received: bytes
    answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    async def ask(self, request: bytes) -> None:
        self.received, self.answered = b"", asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self.answered

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end or self.answered is None:
            return
        length = LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 2") or length is None:
            self.answered.set_exception(RuntimeError(f"{head.decode()}\n{body.decode()}"))
        elif len(body) >= int(length[1]):
            self.answered.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self.answered and not self.answered.done():
            self.answered.set_exception(error or RuntimeError("the server has closed the connection"))


async def ask_all(host: str, port: int, connections: int, jobs: list[list[str]]) -> float:
    """Return the seconds from the first request to the last answer."""
    waiting = deque([[request.encode() for request in job] for job in jobs])
    loop = asyncio.get_running_loop()
    opened = [(await loop.create_connection(Connection, host, port))[1] for _ in range(connections)]

    async def work(connection: Connection) -> None:
        while waiting:
            for request in waiting.popleft():
                await connection.ask(request)

    try:
        began = time.perf_counter()
        await asyncio.gather(*(work(connection) for connection in opened))
        return time.perf_counter() - began
    finally:
        for connection in opened:
            connection.transport.close()


if __name__ == "__main__":
    print(asyncio.run(ask_all(**json.load(sys.stdin))))
