"""The table "What if" of docs/how-to/gitops.md, for tests that show it."""

import re

from tests.support.workflows import ROOT, Job


class WhatIf:
    """The rows by what happens."""

    def __init__(self) -> None:
        page = (ROOT / "docs" / "how-to" / "gitops.md").read_text()
        table = page.partition("\n## What if\n")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| (.+?) \| (.+) \|$", table, re.MULTILINE)
        self._rows = dict(rows)

    def holds(self, what: str, job: Job) -> None:
        """Check that the job ended as the row says: red only if that refuses, and with the words that it quotes."""
        (then,) = [then for happens, then in self._rows.items() if what in happens]
        expected = "failure" if then.startswith("refused") else "success"
        assert job.result == expected, (what, then, job.said)
        for words in re.findall('"(.+?)"', then):
            assert words.removesuffix(" …") in job.summary, (what, job.summary)
