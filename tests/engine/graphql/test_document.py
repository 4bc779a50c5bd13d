"""What a document asks for: fields, their names in the answer, arguments; and what cannot be read."""

from typing import Any

import pytest

from reconciler.engine.graphql.document import DocumentError, Field, Operation, read_document


def shown(fields: tuple[Field, ...]) -> Any:
    return {one.key: (one.name, one.arguments, shown(one.fields)) for one in fields}


def read(text: str, name: str | None = None, **variables: Any) -> Operation:
    return read_document(text, variables, name)


def test_a_field_has_its_alias_its_arguments_and_its_own_fields() -> None:
    text = """query ($appName: String!, $limit: Int = 3) @cached {
        a: app(name: $appName, first: $limit, deep: {list: [1, -2.5, true, null, SHARED, "x\\n"]}) { id, name # comment
        } }"""
    found = read(text, appName="shop", limit=25)
    deep = {"list": [1, -2.5, True, None, "SHARED", "x\n"]}
    fields: Any = {"id": ("id", {}, {}), "name": ("name", {}, {})}
    assert found.kind == "query"
    assert shown(found.fields) == {"a": ("app", {"name": "shop", "first": 25, "deep": deep}, fields)}


def test_fragments_are_their_fields_wherever_they_stand() -> None:
    text = """
        query One { viewer { ... on User { id } ...Rest ... @include(if: true) { name } } }
        fragment Rest on User { email }
        query Two { platform { requestRegion } }
    """
    assert list(shown(read(text, "One").fields)["viewer"][2]) == ["id", "email", "name"]
    assert list(shown(read(text, "Two").fields)) == ["platform"]


def test_a_document_without_a_word_is_a_query_and_a_variable_that_is_not_given_is_null() -> None:
    assert read("{ app(name: $name) { id } }") == Operation(
        "query", (Field("app", "app", {"name": None}, (Field("id", "id", {}, ()),)),)
    )
    assert read('mutation { m(text: """a "b" \\""" c""") }').kind == "mutation"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "0 operations"),
        ("{ a } { b }", "2 operations"),
        ("subscription { a }", "unexpected 'subscription'"),
        ("query { a", "too early"),
        ("query", "too early"),
        ("{ a(b: 1 } }", "unexpected '}'"),
        ("{ ...Nowhere }", "no fragment 'Nowhere'"),
        ("{ a; b }", "unexpected ';'"),
        ('{ a(b: "\\x") }', "unexpected"),
        ("{ ...A } fragment A on B { ...A }", "too deep"),
        ("{a" * 5000, "too early"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_says_where(text: str, why: str) -> None:
    with pytest.raises(DocumentError, match=why):
        read(text)


def test_an_operation_that_is_not_there_is_an_error() -> None:
    with pytest.raises(DocumentError, match="no operation 'Two'"):
        read("query One { a }", "Two")
