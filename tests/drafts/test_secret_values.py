"""What a draft leaves out as secret, and what it shows."""

import base64
import random
import string

import pytest

from reconciler.drafts.secret_values import looks_secret

_LETTERS = string.ascii_letters + string.digits


def made(prefix: str, length: int, letters: str = _LETTERS) -> str:
    """Make a token of this form, the same one each time. No token is written out in this file."""
    return prefix + "".join(random.Random(prefix).choices(letters, k=length))


@pytest.mark.parametrize(
    "name",
    [
        *("APP_KEY", "API_TOKEN", "CLIENT_SECRET", "PGPASSWORD", "DB_PASS", "MYSQL_PWD", "GOOGLE_CREDENTIALS"),
        *("SENTRY_DSN", "BASIC_AUTH", "PRIVATE_ID", "apikey", "Authorization", "X-Auth-Token", "AUTHORIZATION_HEADER"),
    ],
)
def test_a_name_that_secrets_have_is_enough(name: str) -> None:
    assert looks_secret(name, "anything")
    assert looks_secret(name, "42")


@pytest.mark.parametrize("value", ["", " ", "true", "False"])
def test_a_switch_is_no_secret_whatever_its_name(value: str) -> None:
    assert not looks_secret("AUTH_ENABLED", value)


@pytest.mark.parametrize(
    "name", ["AUTHOR", "AUTHORITY", "KEYBOARD_LAYOUT", "META_KEYWORDS", "TOKENIZERS_PARALLELISM", "BYPASS_CACHE", "PWD"]
)
def test_a_harmless_word_that_holds_such_a_name_is_not_meant(name: str) -> None:
    assert not looks_secret(name, "on")


@pytest.mark.parametrize(
    ("prefix", "length"),
    [
        *(("ghp_", 36), ("gho_", 36), ("ghs_", 36), ("github_pat_", 82), ("glpat-", 20)),
        *(("sk_live_", 24), ("rk_test_", 24), ("whsec_", 32), ("AIza", 35), ("ya29.", 60)),
        *(("xoxb-", 40), ("xapp-1-", 40), ("https://hooks.slack.com/services/", 9)),
        *(("fm2_", 60), ("fm1r_", 60), ("fo1_", 40), ("FlyV1 ", 5), ("sk-", 48), ("sk-proj-", 48), ("sk-ant-", 48)),
        *(("npm_", 36), ("pypi-", 40), ("dckr_pat_", 27), ("hf_", 34), ("hvs.", 24), ("sb_secret_", 22)),
    ],
)
def test_a_known_prefix_is_enough(prefix: str, length: int) -> None:
    plain = made(prefix, length, string.ascii_lowercase)  # not by being random
    assert looks_secret("VALUE", plain)
    assert looks_secret("", f"--header={plain}")


def test_so_are_the_forms_that_have_other_letters() -> None:
    assert looks_secret("VALUE", made("AKIA", 16, string.ascii_uppercase))
    assert looks_secret("VALUE", made("SG.", 22) + made(".", 43))
    assert looks_secret("VALUE", made("shpat_", 32, string.hexdigits))
    assert looks_secret("VALUE", made("eyJ", 30, "a") + made(".eyJ", 30, "b") + ".c")


@pytest.mark.parametrize(
    "value",
    [
        "postgres://app:pw@db.internal:5432/app",
        "redis://:pw@cache.internal",
        "amqp://user:p%40ss@mq/vhost",
        "postgres://a:1@one,postgres://b:2@two",
        "Server=db;User=app;Password=pw;",
        "host=db dbname=app password=pw",
        "https://example.com/hook?token=x",
        '{"type": "service_account", "private_key": "x"}',
        "host=db password='pw'",
        "{'secret_key': 'x'}",
        "serve --api-key=x --port=80",
        "export SIGNING_KEY=x && serve",
        "Authorization: Bearer x",
        "Bearer x",
        "Basic eDp5",
        "curl -H 'Authorization: Bearer x' https://example.com",
        'curl -H "X-Api-Key: x" https://example.com',
        "exec worker --db-password x --verbose",
        "exec worker --api-key 'x'",
        "-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----",
        base64.b64encode(b"-----BEGIN EC PRIVATE KEY-----\nx").decode(),
    ],
)
def test_a_password_inside_of_a_value_is_found(value: str) -> None:
    assert looks_secret("VALUE", value)


@pytest.mark.parametrize(
    ("letters", "length"),
    [("0123456789abcdef", 32), (string.ascii_lowercase + string.digits, 32), (_LETTERS, 24), (_LETTERS + "+/", 44)],
)
def test_random_text_is_found_nearly_always(letters: str, length: int) -> None:
    generator = random.Random(1)
    found = [looks_secret("VALUE", "".join(generator.choices(letters, k=length))) for _ in range(300)]
    assert sum(found) >= 0.97 * len(found)


@pytest.mark.parametrize("name", ["GIT_SHA", "COMMIT", "SOURCE_COMMIT", "GIT_COMMIT_SHA", "git_revision"])
def test_a_commit_is_no_secret_under_a_name_that_says_so(name: str) -> None:
    assert not looks_secret(name, made("", 40, "0123456789abcdef"))
    assert looks_secret("VALUE", made("", 40, "0123456789abcdef"))
    assert looks_secret(name, made("", 41, "0123456789abcdef"))


@pytest.mark.parametrize(
    "value",
    [
        "production",
        "A sentence of many Words, with 1234 numbers 5678 in it, is longer than a token.",
        "/var/www/html/storage/framework/views",
        "/opt/oracle/instantclient_21_12:/usr/lib/x86_64-linux-gnu",
        "/app/x86_64/py3/lib64/v8/h264",
        "us-east-1-production-bucket-2024-11-30",
        "x86_64-unknown-linux-gnu-v2-release-20240101",
        "20240102T030405Z",
        "registry.fly.io/shop:deployment-01JD8Z5XKQ2W3E4R5T6Y7U8I9O",
        "registry.fly.io/shop@sha256:" + "0a1b2c3d" * 8,
        "sha256:" + "0a1b2c3d" * 8,
        "https://example.com/path/to/page?x=1",
        "postgres://app@db.internal:5432/app",
        "http://[fdaa:0:1da7:a7b:7d:3ea0:9f5a:2]:8080",
        "kafka-1.internal:9092,kafka-2.internal:9092",
        "arn:aws:iam::123456789012:role/my-role",
        "CloudFrontDistributionOriginAccessIdentity",
        "-Xmx512m -XX:+UseG1GC -XX:MaxGCPauseMillis=200",
        "App\\Models\\User",
        "export TOKEN=$(cat /run/token) && exec app",
        "export API_KEY='$OTHER' && serve --primary-key=id",
        "task-force-risk-management-system-22",
        "2f1e4fc0-81fd-4a3c-8d7b-3f1a2b4c5d6e",  # a UUID identifies
    ],
)
def test_what_is_no_secret_is_shown(value: str) -> None:
    assert not looks_secret("VALUE", value)
    assert not looks_secret("", value)
