"""Known tokens are taken out of a text however they were written into it; which variables hold one is one list."""

import base64
import json
import subprocess
import sys
from html import escape
from urllib.parse import quote

import pytest

from reconciler.model import concealment
from reconciler.model.concealment import Concealment, OftenConcealed, forms_of, is_token_variable, known_tokens

TOKEN = "s3cret/token+with=marks&more"
LIST = "FlyV1 fm2_lJPEfirstfirst,fm1r_lJPEsecondsecond,fo1_third-third"


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        f"Bearer {TOKEN}, twice {TOKEN}",
        quote(TOKEN, safe=""),
        quote(TOKEN, safe="").lower(),
        escape(TOKEN),
        json.dumps({"a": TOKEN}),
        *(base64.b64encode(f"{user}{TOKEN}".encode()).decode() for user in ("", "x:", "me:", "you:")),
        base64.urlsafe_b64encode(f"x:{TOKEN}".encode()).decode(),
        *(f"it was cut off: {TOKEN[:length]}…" for length in (8, 15, len(TOKEN) - 1)),
    ],
)
def test_a_token_is_concealed_in_whatever_form(text: str) -> None:
    shown = Concealment([TOKEN]).conceal(text)
    assert "***" in shown
    assert TOKEN[:8] not in shown
    assert quote(TOKEN, safe="")[:8] not in shown
    for place in range(3):
        inner = base64.b64encode(b"\0" * place + TOKEN.encode()).decode()[4:-4]
        assert inner not in shown


def test_each_token_of_a_list_is_one() -> None:
    known = Concealment(known_tokens({"FLY_API_TOKEN": LIST}))
    for part in ("fm2_lJPEfirstfirst", "lJPEfirstfirst", "fm1r_lJPEsecondsecond", "fo1_third-third"):
        assert part not in known.conceal(f"<{part}>")
    assert known.conceal("first, second and third") == "first, second and third"


def test_what_is_as_short_as_a_word_is_left_and_what_only_begins_alike() -> None:
    assert Concealment(["dev", "1234567"]).conceal("dev 1234567") == "dev 1234567"
    known = Concealment(["password-1234"])
    assert known.conceal("a password is a password…") == "a password is a ***…"
    assert known.conceal("passwords are many … of them") == "passwords are many … of them"
    assert known.conceal("no password-123 at all") == "no password-123 at all"


def test_dockers_credentials_in_a_variable_are_known_one_by_one() -> None:
    auth = base64.b64encode(b"me:the-password-of-it").decode()
    value = json.dumps({"auths": {"registry.example": {"auth": auth}, "other": {"identitytoken": "identity-token-1"}}})
    known = Concealment(known_tokens({"DOCKER_AUTH_CONFIG": value}))
    for secret in (auth, "the-password-of-it", "identity-token-1"):
        assert secret not in known.conceal(f"it says {secret}")
    assert known.conceal('"auths": registry.example') == '"auths": registry.example'


@pytest.mark.parametrize("value", ["{", '{"auths": []}', '{"a": {"auth": "é"}}', "{" * 5000, ""])
def test_what_is_no_docker_config_is_passed_over(value: str) -> None:
    assert list(known_tokens({"DOCKER_AUTH_CONFIG": value})) in ([], ["é"])


@pytest.mark.parametrize(
    ("name", "is_token"),
    [
        ("FLY_API_TOKEN", True),
        ("FLY_ACCESS_TOKEN", True),
        ("GITHUB_TOKEN", True),
        ("GH_TOKEN", True),
        ("ACTIONS_RUNTIME_TOKEN", True),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", True),
        ("CI_JOB_TOKEN", True),
        ("GITLAB_TOKEN", True),
        ("CI_REGISTRY_PASSWORD", True),
        ("DOCKER_AUTH_CONFIG", True),
        ("IMAGE_TAG", False),
        ("GITHUB_SHA", False),
        ("ACTIONS_RUNTIME_URL", False),
        ("CI_REGISTRY_IMAGE", False),
        ("MY_GITHUB_TOKEN", False),
    ],
)
def test_which_variables_hold_tokens(name: str, is_token: bool) -> None:
    assert is_token_variable(name) is is_token


def test_the_forms_of_a_token_that_is_often_concealed_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(secret: str) -> list[str]:
        made.append(secret)
        return [*forms_of(secret)]

    monkeypatch.setattr(concealment, "forms_of", counted)
    often = OftenConcealed([TOKEN])
    assert [*often] == [TOKEN]
    for _ in range(3):
        assert [*often.forms_of(TOKEN)] == [*forms_of(TOKEN)]
        assert [*often.forms_of("of one call")] == [*forms_of("of one call")]
    assert made == [TOKEN, "of one call", "of one call", "of one call"]


def test_the_table_of_entities_is_imported_only_for_what_html_escapes() -> None:
    program = """
import sys
from reconciler.model.concealment import forms_of
plain = [*forms_of("FlyV1 a-token/of+base64=")]
before = "html" in sys.modules
assert "a&amp;b" in [*forms_of("a&b")]
print(before, "html" in sys.modules)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.split() == ["False", "True"]
