"""The output of a container as its engine sends it: frames, each of one stream.

A frame is the number of the stream, three zero bytes, the length of the content as four bytes, and the content
(Docker Engine API, "Attach to a container", stream format). With a terminal there are no frames, and one stream.
"""

from collections.abc import AsyncIterator
from typing import Final

_HEADER: Final = 8
_STDERR: Final = 2


async def unframed(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, bytes]]:
    """The stream's name, stdout or stderr, and the content of each frame, in parts where a frame comes in parts."""
    rest = b""
    left, name = 0, "stdout"
    async for chunk in chunks:
        rest += chunk
        while rest:
            if left:
                part, rest = rest[:left], rest[left:]
                left -= len(part)
                yield name, part
            elif len(rest) < _HEADER:
                break
            else:
                name = "stderr" if rest[0] == _STDERR else "stdout"
                left = int.from_bytes(rest[4:_HEADER], "big")
                rest = rest[_HEADER:]


async def unterminated(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, bytes]]:
    """The output of a container that has a terminal: all of it is stdout."""
    async for chunk in chunks:
        yield "stdout", chunk
