"""A spec that is wrong, as a program gets to know it: the message alone says where to look."""

from pathlib import Path

import pytest

from reconciler import Diagnostic, SpecError, load_spec
from reconciler.model.spec import Place

START = "version: 1\nname: s\napps:\n  app:\n    image: i\n"


def message(tmp_path: Path, text: str) -> str:
    (tmp_path / "machines.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec(tmp_path / "machines.yaml", environment={})
    first = caught.value.diagnostics[0]
    assert isinstance(first, Diagnostic)
    assert f"machines.yaml:{first.place.line}: {first.message}" in str(caught.value)
    return str(caught.value)


def test_the_message_has_the_place_and_the_text_of_the_only_error(tmp_path: Path) -> None:
    said = message(tmp_path, f"{START}    imagine: x\n")
    assert said.startswith("the spec has 1 error: ")
    assert "machines.yaml:6: " in said
    assert "more" not in said


def test_the_message_counts_the_other_errors(tmp_path: Path) -> None:
    said = message(tmp_path, f"{START}    imagine: x\n    foo: y\n    bar: z\n")
    assert said.startswith("the spec has 3 errors: ")
    assert said.endswith(", and 2 more")


def test_the_message_is_one_line_that_no_terminal_acts_upon() -> None:
    place = Place(file="machines.yaml", line=3, column=1)
    error = SpecError([Diagnostic(place=place, message="bad\n\x1b[2Jname")], more=7)
    assert str(error) == "the spec has 8 errors: machines.yaml:3: bad  [2Jname, and 7 more"
