"""What Markdown becomes as a page, as far as tests look at it."""

from html.parser import HTMLParser

from markdown_it import MarkdownIt

_EMPTY = {"br", "hr", "img", "input"}


class Page(HTMLParser):
    """The tags of the page, its attributes, and its text inside and outside of code."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.code: list[str] = []
        self.prose: list[str] = []
        self.cells: list[list[str]] = []
        self._open: list[str] = []
        self.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))
        self.close()
        assert self._open == [], "each tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in _EMPTY:
            self._open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in {"td", "th"}:
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        is_code = bool({"code", "pre"} & set(self._open))
        (self.code if is_code else self.prose).append(data)
        if {"td", "th"} & set(self._open):
            self.cells[-1][-1] += data
