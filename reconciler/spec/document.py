"""Parse text into a tree with places; size and depth are bounded.

Tags execute and construct nothing. The tree is built from the parser's events rather than by the library's own loader:
that one knows no places of keys, lets duplicate keys pass, and speaks YAML 1.1, in which `no` is false and `1:30` is
ninety.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml

from reconciler.model.spec import Place
from reconciler.model.unicode import is_utf8
from reconciler.spec.diagnostics import Findings
from reconciler.spec.yaml_nodes import Entry, List, Map, Node, Scalar

_MAX_DEPTH: Final = 64
_MAX_NODES: Final = 100_000
_MAX_EXPANDED: Final = 2 * _MAX_NODES
_CHARACTERS_A_NODE: Final = 1_000  # a long text that aliases repeat counts for more than one
_LINE_END: Final = re.compile("[\n\x85\u2028\u2029]")  # as the parser counts lines
_STRING_TAG: Final = "tag:yaml.org,2002:str"
_Loader: Any
try:
    from yaml._yaml import CParser as _Loader  # the parser alone, without the loaders
except ImportError:  # PyYAML without libyaml
    _Loader = yaml.SafeLoader


class _BrokenOff(Exception):
    """The document cannot be read on; the finding has been added."""


def parse_document(file: str, text: str, findings: Findings) -> Node | None:
    """Return the tree of the one document in the text; None if it cannot be read.

    The reason is then in the findings. `file` is the name of the text in them.
    """
    lines = _LINE_END.split(text)
    findings.read(file, lines)
    for line, content in enumerate(lines, start=1):
        for column, character in enumerate(content, start=1):
            if (character < " " and character != "\t") or character == "\x7f":
                place = Place(file=file, line=line, column=column)
                findings.add_at(place, f"control character U+{ord(character):04X}", hint="remove it")
                return None
    try:
        return _Builder(file, yaml.parse(text, Loader=_Loader), findings).document()
    except _BrokenOff:
        return None
    except yaml.YAMLError as error:
        from reconciler.spec.yaml_errors import explain

        mistake = explain(error, lines)
        place = Place(file=file, line=mistake.line, column=mistake.column)
        findings.add_at(place, mistake.message, hint=mistake.hint)
        return None


class _Builder:
    def __init__(self, file: str, events: Iterator[Any], findings: Findings) -> None:
        self._file = file
        self._events = events
        self._findings = findings
        self._anchors: dict[str, Node] = {}
        self._open_anchors: set[str] = set()
        self._expanded = 0

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._fail(event, "a second document", "a spec is one YAML document")
                root = self._node(next(self._events), depth=1)
        return root

    def _node(self, event: Any, *, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            self._fail(event, f"nested deeper than {_MAX_DEPTH} levels", "a spec needs no more than ten")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.tag and event.tag not in {_STRING_TAG, "!"}:
            self._fail(event, f"the tag {event.tag} is not allowed", "a spec has no tags")
        if event.anchor:
            self._open_anchors.add(event.anchor)
        node = self._untagged(event, depth)
        if event.anchor:
            self._open_anchors.discard(event.anchor)
            self._anchors[event.anchor] = node
        return node

    def _untagged(self, event: Any, depth: int) -> Node:
        line, column = _place(event)
        if isinstance(event, yaml.ScalarEvent):
            if not is_utf8(event.value):  # libyaml says so by itself
                self._fail(event, "not YAML: found invalid Unicode character escape code", "write the character itself")
            is_plain = event.style in {None, ""} and event.tag is None
            size = 1 + len(event.value) // _CHARACTERS_A_NODE
            return Scalar(file=self._file, line=line, column=column, text=event.value, is_plain=is_plain, size=size)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(event, depth=depth + 1))
            size = self._size(event, items)
            return List(file=self._file, line=line, column=column, items=tuple(items), size=size)
        return self._map(line, column, depth)

    def _map(self, line: int, column: int, depth: int) -> Map:
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth=depth + 1)
            value = self._node(next(self._events), depth=depth + 1)
            if not isinstance(key, Scalar):
                self._fail(event, "a key must be a plain word", "a value that begins with { or [ needs quotes")
                raise AssertionError
            if key.is_plain and key.text == "<<":
                self._merge(event, value, merged)
            elif key.text in entries:
                first = entries[key.text].key
                message = f"duplicate key `{key.text}`; it is already on line {first.line}"
                self._findings.add(key, message, hint="put both under one of them, or remove one")
            else:
                entries[key.text] = Entry(key=key, value=value)
        entries = entries | {key: entry for key, entry in merged.items() if key not in entries}
        size = self._size(event, [entry.value for entry in entries.values()])
        return Map(file=self._file, line=line, column=column, entries=entries, size=size)

    def _merge(self, event: Any, value: Node, merged: dict[str, Entry]) -> None:
        """Add what `<<` brings in; of several maps the earlier wins."""
        for one in value.items if isinstance(value, List) else (value,):
            if not isinstance(one, Map):
                self._fail(event, "<< takes a map, or a list of maps", "write it as `<<: *anchor`")
                raise AssertionError
            for key, entry in one.entries.items():
                merged.setdefault(key, entry)

    def _alias(self, event: Any) -> Node:
        if event.anchor in self._open_anchors:
            self._fail(event, f"*{event.anchor} contains itself", "remove it")
        node = self._anchors.get(event.anchor)
        if node is None:
            hint = f"write `&{event.anchor}` before a value above; a text that begins with * needs quotes"
            self._fail(event, f"no anchor &{event.anchor} before this", hint)
            raise AssertionError
        # All aliases together: what `<<` brings in and other keys hide is in no map's size, and takes its time.
        self._expanded += node.size
        self._check_size(event, self._expanded, most=_MAX_EXPANDED)
        return node

    def _size(self, event: Any, children: list[Node]) -> int:
        """Count the nodes once aliases are expanded.

        The number is kept small, or ten lines become a gigabyte.
        """
        size = 1 + sum(child.size for child in children)
        self._check_size(event, size)
        return size

    def _check_size(self, event: Any, size: int, *, most: int = _MAX_NODES) -> None:
        if size > most:
            self._fail(event, f"expands to more than {most} values", "use fewer aliases")

    def _fail(self, event: Any, message: str, hint: str | None = None) -> None:
        line, column = _place(event)
        self._findings.add_at(Place(file=self._file, line=line, column=column), message, hint=hint)
        raise _BrokenOff


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1
