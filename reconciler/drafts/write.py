"""Write a draft as the text of a spec: what stands on one line, and how deep."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from reconciler.drafts.nodes import Comment, Draft, DraftMap, Member, Template
from reconciler.drafts.scalars import literal_lines, spell, spell_key

_WIDTH: Final = 100
_STEP: Final = "  "
_LONGEST_KEY: Final = 200  # a longer one stands on a line of its own, behind a question mark
_Scalar: Final = (str, int, float, bool, Template, type(None))


def write_draft(draft: DraftMap) -> str:
    """Return the text of a spec. Raises ValueError for a value that none can say."""
    return "".join(f"{line}\n" for line in _map_lines(draft, ""))


def comment_lines(text: str, indent: str = "") -> Iterator[str]:
    """Yield the lines of a comment; what cannot be printed is shown as an escape."""
    if not text:
        yield ""
    for paragraph in text.splitlines():
        wrapped = textwrap.wrap(
            _printable(paragraph), max(_WIDTH - len(indent) - 2, 40), break_long_words=False, break_on_hyphens=False
        )
        yield from (f"{indent}# {line}" for line in wrapped)


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _map_lines(draft: DraftMap, indent: str) -> Iterator[str]:
    for part in draft.parts:
        if isinstance(part, Comment):
            yield from comment_lines(part.text, indent)
        elif part.is_disabled:
            yield from (f"{indent}# {line}" for line in _member_lines(part, ""))
        else:
            yield from _member_lines(part, indent)


def _member_lines(member: Member, indent: str) -> Iterator[str]:
    key = spell_key(member.key)
    head = f"{indent}{key}:"
    if len(key) > _LONGEST_KEY:
        yield f"{indent}? {key}"
        head = f"{indent}:"
    yield from _lines_behind(head, member.value, indent, member.beside)


def _lines_behind(head: str, value: Draft, indent: str, beside: str | None = None) -> Iterator[str]:
    """Yield the lines of a value that begins behind `head`.

    That is a key, or the dash of an item.
    """
    remark = f" # {_printable(' '.join(beside.split()))}" if beside else ""
    if isinstance(value, str | Template) and (literal := literal_lines(value)):
        header, lines = literal
        yield f"{head} {header}{remark}"
        yield from (f"{indent}{_STEP}{line}" if line else "" for line in lines)
        return
    if isinstance(value, _Scalar):
        yield f"{head} {spell(value, in_flow=False)}{remark}"
        return
    if isinstance(value, DraftMap) and not any(True for _ in value.members()):
        yield f"{head} {{}}{remark}"
        yield from _map_lines(value, indent + _STEP)  # its comments
        return
    if not isinstance(value, DraftMap) and all(isinstance(item, Comment) for item in value):
        yield f"{head} []{remark}"
        yield from _list_lines(value, indent + _STEP)  # its comments
        return
    short = _in_flow(value)
    if short is not None and len(head) + 1 + len(short) + len(remark) <= _WIDTH:
        yield f"{head} {short}{remark}"
    elif isinstance(value, DraftMap):
        yield f"{head}{remark}"
        yield from _map_lines(value, indent + _STEP)
    else:
        yield f"{head}{remark}"
        yield from _list_lines(value, indent + _STEP)


def _list_lines(items: "Sequence[Draft | Comment]", indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, Comment):
            yield from comment_lines(item.text, indent)
        elif isinstance(item, DraftMap) and _begins_with_a_member(item) and not _fits(item, indent):
            lines = list(_map_lines(item, indent + _STEP))
            yield f"{indent}- {lines[0].removeprefix(indent + _STEP)}"
            yield from lines[1:]
        else:
            yield from _lines_behind(f"{indent}-", item, indent)


def _begins_with_a_member(draft: DraftMap) -> bool:
    first = draft.parts[0] if draft.parts else None
    return isinstance(first, Member) and not first.is_disabled and len(spell_key(first.key)) <= _LONGEST_KEY


def _fits(draft: DraftMap, indent: str) -> bool:
    short = _in_flow(draft)
    return short is not None and len(indent) + 2 + len(short) <= _WIDTH


def _in_flow(value: Draft) -> str | None:
    """Return the value on one line.

    None if it has comments, long text, or is a block.
    """
    if isinstance(value, _Scalar):
        is_literal = isinstance(value, str | Template) and literal_lines(value) is not None
        return None if is_literal else spell(value, in_flow=True)
    if isinstance(value, DraftMap):
        return _map_in_flow(value)
    items = [None if isinstance(item, Comment) else _in_flow(item) for item in value]
    return None if None in items else f"[{', '.join(item or '' for item in items)}]"


def _map_in_flow(draft: DraftMap) -> str | None:
    if not draft.is_flow:
        return None
    members = []
    for part in draft.parts:
        if isinstance(part, Comment) or part.beside or part.is_disabled or len(part.key) > _LONGEST_KEY:
            return None
        if (value := _in_flow(part.value)) is None:
            return None
        members.append(f"{spell_key(part.key)}: {value}")
    return f"{{{', '.join(members)}}}"
