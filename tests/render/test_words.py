"""Which words of a value change: marked without colour, and in colour; a long value is cut around them."""

import pytest

from reconciler.render.words import changed_words, side_of


def marked(before: str, after: str) -> str:
    signs = {"-": "[-{}-]", "+": "{{+{}+}}", None: "{}"}
    return "".join(signs[one.sign].format(one.text) for one in changed_words(before, after))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('["run", "a/b"]', '["run", "c/d"]', '["run", [-"a/b"-]{+"c/d"+}]'),
        ('["run"]', '["run", "-v"]', '["run"{+, "-v"+}]'),
        ('["run", "-v"]', '["run"]', '["run"[-, "-v"-]]'),
        ('["sh", "-c", "one two three"]', '["sh", "-c", "one 2 three"]', '["sh", "-c", "one [-two-]{+2+} three"]'),
        (
            "run --token=fm2_a,fm2_b:x on",
            "run --token=fm2_a,fm2_c:x on",
            "run [---token=fm2_a,fm2_b:x-]{+--token=fm2_a,fm2_c:x+} on",
        ),
        ("keep one two keep that", "keep three four keep that", "keep [-one two-]{+three four+} keep that"),
        ("nothing alike", "something else", ""),
        ("one of many words stays", "one alone has come in place", ""),
    ],
)
def test_words_that_change_are_marked(before: str, after: str, expected: str) -> None:
    assert marked(before, after) == expected


def test_a_long_value_is_cut_around_the_change() -> None:
    many = [f"word{number}" for number in range(100)]
    words = changed_words(" ".join([*many, "old", *many]), " ".join([*many, "new", *many]))
    both = "".join(one.text for one in words)
    assert "old" in both
    assert "new" in both
    assert len(both) < 200
    assert side_of(words, "-").replace("old", "new") == side_of(words, "+")


def test_many_changes_all_over_a_long_value_are_not_marked() -> None:
    before = " ".join(f"same{number} old{number}" for number in range(60))
    assert changed_words(before, before.replace("old", "new")) == ()


def test_a_value_of_very_many_words_is_not_compared() -> None:
    long = "word " * 3_000
    assert changed_words(long, long + "more") == ()
