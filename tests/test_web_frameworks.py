"""docs/how-to/web-frameworks.md shows parts of the examples as they stand there, and `make examples` tests each."""

import re
import textwrap

import pytest

from tests.support.pages import DOCS, ROOT, blocks_of

PAGE = DOCS / "how-to" / "web-frameworks.md"
FILES = re.findall(r"\.\./\.\./(examples/[\w/]+\.py)", PAGE.read_text())


def test_each_block_of_the_page_is_in_an_example() -> None:
    texts = [(ROOT / file).read_text() for file in FILES]
    blocks = [block.text for block in blocks_of(PAGE)]
    assert len(blocks) == len(FILES) == 4
    for block in blocks:
        for part in block.split("\n\n\n"):
            shown = (part.strip("\n"), textwrap.indent(part.strip("\n"), "    "))
            assert any(form in text for form in shown for text in texts), f"no example has this:\n{part}"


@pytest.mark.parametrize("file", FILES)
def test_each_example_of_the_page_is_tested(file: str) -> None:
    framework = file.split("/")[1]
    assert re.search(rf"for one in [\w ]*\b{framework}\b", (ROOT / "Makefile").read_text())
    assert [*(ROOT / "examples" / framework).glob("test_*.py")]
