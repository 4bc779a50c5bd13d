"""Each mutant of `make mutants` still applies, exactly once, and its tests exist."""

import pytest

from tests.mutants.mutant import ROOT, Mutant, MutantError, load_mutants


@pytest.mark.parametrize("mutant", load_mutants(), ids=lambda mutant: mutant.rule)
def test_it_applies_once(mutant: Mutant) -> None:
    file = ROOT / "reconciler" / mutant.file
    assert file.exists(), f"tests/mutants names {mutant.file}, which is gone: say where its code is now"
    compile(mutant.applied(file.read_text("utf-8")), str(file), "exec")
    for test in mutant.by:
        assert (ROOT / test).exists(), f"{test} is gone: say in tests/mutants which tests kill it now"


def test_no_rule_is_listed_twice() -> None:
    rules = [mutant.rule for mutant in load_mutants()]
    assert len(set(rules)) == len(rules)


SOURCE = """
def f(a):
    if a:  # a comment
        return (a +
                1)
    try:
        return 2
    except ValueError as error:
        raise KeyError from error


class C:
    def g(self):
        x = 1
        y = 2
        return x, y
"""


@pytest.mark.parametrize(
    ("where", "find", "broken", "text"),
    [
        ("f", "if a:", "if False:", "if False:\n        return a + 1"),
        ("f", "a+1", "a", "        return a\n"),
        ("f", "return a + 1", "", "        pass\n"),
        (
            "f",
            "except ValueError as error:",
            "except OSError as error:",
            "except OSError as error:\n        raise KeyError",
        ),
        ("C.g", "x = 1\ny = 2", "x = y = 3", "x = y = 3\n        return (x, y)"),
        ("C.g", "def g(self):", "def g(self, x):", "def g(self, x):\n        x = 1"),
    ],
)
def test_code_is_found_by_its_name_whatever_its_format(where: str, find: str, broken: str, text: str) -> None:
    assert text in Mutant("a rule", "f.py", where, find, broken).applied(SOURCE)


@pytest.mark.parametrize(
    ("where", "find", "broken", "says"),
    [
        ("h", "a", "b", "has no h"),
        ("f", "b", "a", "0 times"),
        ("f", "a", "b", "2 times"),
        ("f", "return 2", "return  2", "nothing changes"),
    ],
)
def test_what_does_not_apply_once_says_why(where: str, find: str, broken: str, says: str) -> None:
    with pytest.raises(MutantError, match=says):
        Mutant("a rule", "f.py", where, find, broken).applied(SOURCE)
