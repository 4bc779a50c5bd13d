"""Every malformed spec is refused with its place and in words: a folder each, spec.yaml and expected.txt.

The files over*.yaml of a folder lie over its spec.

RECONCILER_REWRITE=1 writes the expectations anew, to be read before they are committed.
"""

import os
from pathlib import Path

import pytest
import yaml

from reconciler.errors import SpecError
from reconciler.render.diagnostics import diagnostics_text
from reconciler.spec import document, load_spec

CASES = sorted((Path(__file__).parent.parent / "cases" / "spec" / "malformed").iterdir())


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 50


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_refused_with_its_place(case: Path) -> None:
    text = (case / "spec.yaml").read_text()
    overlays = [(file.name, file.read_text()) for file in sorted(case.glob("over*.yaml"))]
    with pytest.raises(SpecError) as caught:
        load_spec(text, file="spec.yaml", environment={}, overlays=overlays)
    shown = diagnostics_text(caught.value.diagnostics) + "\n"
    expected = case / "expected.txt"
    if os.environ.get("RECONCILER_REWRITE"):
        expected.write_text(shown)
    assert shown == expected.read_text()
    assert all(diagnostic.place.line >= 1 for diagnostic in caught.value.diagnostics)


def test_what_git_leaves_of_a_conflict_is_named() -> None:
    text = f"version: 1\n{'<' * 7} HEAD\nname: a\n{'=' * 7}\nname: b\n{'>' * 7} other\napps: {{}}\n"
    with pytest.raises(SpecError) as caught:
        load_spec(text, file="spec.yaml", environment={})
    [found] = caught.value.diagnostics
    assert (found.place.line, found.message) == (2, "a merge conflict of git is left in the file")


def test_a_lone_surrogate_is_refused_without_libyaml_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "_Loader", yaml.SafeLoader)
    with pytest.raises(SpecError) as caught:
        load_spec('version: 1\nname: "a\\ud800"\n', file="spec.yaml", environment={})
    assert "invalid Unicode character" in caught.value.diagnostics[0].message
