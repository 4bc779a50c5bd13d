"""Find the endpoint of a request by its method and its path.

A segment in braces matches any text that is not empty. If a literal segment matches too and has the method, it wins.
"""

from typing import Final, NamedTuple

from reconciler.engine.http.routes.base import Endpoint

_HEAD: Final = "HEAD"


class Found(NamedTuple):
    """An endpoint with the values of its path's segments in braces."""

    endpoint: Endpoint
    is_public: bool
    path_params: dict[str, str]


class _Node:
    """The part of the table after some segments of a path."""

    __slots__ = ("any", "ends", "literals")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.ends: dict[str, tuple[Endpoint, bool, tuple[str, ...]]] = {}  # by method

    def walk(self, segments: list[str], at: int, method: str, values: list[str]) -> Found | None:
        """Return what the segments from `at` on lead to; `values` are those before."""
        if at == len(segments):
            if (end := self.ends.get(method)) is None:
                return None
            endpoint, is_public, names = end
            return Found(endpoint, is_public, dict(zip(names, values, strict=True)))
        segment = segments[at]
        literal = self.literals.get(segment)
        found = literal.walk(segments, at + 1, method, values) if literal else None
        if found or self.any is None or not segment:
            return found
        return self.any.walk(segments, at + 1, method, [*values, segment])


class Router:
    """A table of endpoints."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, path: str, endpoint: Endpoint, *, is_public: bool = False) -> None:
        """Serve the endpoint at this path."""
        node, names = self._root, []
        for segment in path.split("/")[1:]:
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.literals.setdefault(segment, _Node())
        node.ends.setdefault(endpoint.method, (endpoint, is_public, tuple(names)))

    def find(self, method: str, path: str) -> Found | None:
        """Return the endpoint; that of GET serves HEAD too."""
        return self._root.walk(path.split("/"), 1, "GET" if method == _HEAD else method, [])
