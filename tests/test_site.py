"""The documentation site beside what `make docs` checks itself: links that leave it, and what it would fetch."""

import pytest

from tools.site_links import REPOSITORY, fetched, on_page_markdown


class Page:
    """What a hook of mkdocs reads of a page."""

    def __init__(self, path: str) -> None:
        self.file = self
        self.src_uri = path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("| `logs RUN\\|TASK` | `a\\|b` |", "| `logs RUN|TASK` | `a|b` |"),
        ("with `--only POOL`", "with `--only POOL`{.whole}"),
        ("```console\n$ echo `--x`\n```\n", "```console\n$ echo `--x`\n```\n"),
    ],
)
def test_code_in_a_line_is_shown_whole(text: str, shown: str) -> None:
    assert on_page_markdown(text, page=Page("index.md")) == shown


@pytest.mark.parametrize(
    ("link", "leads"),
    [
        ("../../examples/testing/client.py", f"{REPOSITORY}/blob/main/examples/testing/client.py"),
        ("../../examples/testing", f"{REPOSITORY}/tree/main/examples/testing"),
        ("../../CONTRIBUTING.md", f"{REPOSITORY}/blob/main/CONTRIBUTING.md"),
        ("../reference/spec.md", "../reference/spec.md"),
        ("testing.md", "testing.md"),
        ("https://example.com/../../x", "https://example.com/../../x"),
    ],
)
def test_a_link_to_a_file_that_is_no_page_leads_to_the_repository(link: str, leads: str) -> None:
    assert on_page_markdown(f"See [it]({link}#top).", page=Page("how-to/testing.md")) == f"See [it]({leads}#top)."


@pytest.mark.parametrize(
    ("html", "count"),
    [
        ('<script src="https://cdn.example/x.js"></script>', 1),
        ('<link href="//fonts.example/a.css" rel="stylesheet">', 1),
        ("<img alt='' src=\"https://example.com/a.png\">", 1),
        ('<link rel="canonical" href="https://example.com/page/">', 0),
        ('<script src="../assets/x.js"></script><a href="https://example.com">there</a>', 0),
    ],
)
def test_what_a_page_would_fetch_from_elsewhere_is_found(html: str, count: int) -> None:
    assert len(fetched(html)) == count
