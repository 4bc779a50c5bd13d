"""Tell which values look secret, so that a draft names a variable in their place.

In doubt a value is secret: a variable too many has to be set once, a secret in a repository has to be replaced. What is
not recognized: passwords in plain words under a harmless name, random text of letters alone in one case, and UUIDs,
which are mostly identifiers.
"""

import itertools
import re
from typing import Final

_NAME: Final = re.compile(r"KEY|TOKEN|SECRET|PASS|PWD|CREDENTIAL|DSN|AUTH|PRIVATE")
_HARMLESS_WORDS: Final = re.compile(
    r"AUTHOR(?!I[SZ])|KEYBOARD|KEYWORD|MONKEY|TOKENIZER|PASSENGER|PASSIVE|PASSTHROUGH|BYPASS|COMPASS|^(?:OLD)?PWD$"
)
_SWITCHES: Final = frozenset({"", "true", "false"})

# What follows a prefix; the place before it must not be inside a word.
_PREFIXES: Final = (
    r"gh[opusr]_\w{20}|github_pat_\w{20}",  # GitHub: docs, "About authentication to GitHub", token formats
    r"gl(?:pat|oas|dt|rt|cbt|ptt|ft|soat|agent|imt|ffct)-[\w-]{16}",  # GitLab: docs, "Token overview", token prefixes
    r"(?:sk|rk)_(?:live|test)_\w{10}|whsec_[\w+/]{16}",  # Stripe: docs, "API keys" and "Webhook signatures"
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",  # AWS: IAM user guide, "IAM identifiers", unique ids
    r"AIza[\w-]{35}|GOCSPX-[\w-]{20}|ya29\.[\w-]{20}",  # Google Cloud: docs, "API keys", "OAuth 2.0"
    r"xox[abceoprs](?:\.xox[bp])?-[\w-]{10}|xapp-[\w-]{10}",  # Slack: docs, "Token types"
    r"hooks\.slack\.com/(?:services|workflows|triggers)/\w",  # Slack: docs, "Incoming webhooks"
    r"fm\d[a-z]?_[\w+/=-]{16}|fo1_[\w-]{16}|FlyV1 +\S",  # Fly.io: superfly/fly-go, tokens/tokens.go
    r"sk-(?:proj-|svcacct-|admin-|ant-|or-)?[\w-]{20}",  # OpenAI, Anthropic, OpenRouter: API references
    r"SG\.[\w-]{16,}\.[\w-]{16}",  # SendGrid: docs, "API keys"
    r"npm_\w{30}|pypi-[\w-]{16}|rubygems_[0-9a-f]{32}|dckr_[po]at_[\w-]{16}",  # registries: their docs on tokens
    r"hf_\w{20}",  # Hugging Face: docs, "User access tokens"
    r"shp(?:at|ca|pa|ss|ua)_[0-9a-fA-F]{16}",  # Shopify: docs, "Access tokens"
    r"do[opr]_v1_[0-9a-f]{32}",  # DigitalOcean: API reference, "Authentication"
    r"sntry[su]_[\w+/=-]{16}",  # Sentry: docs, "Auth tokens"
    r"gl(?:sa|c)_[\w+/=-]{16}",  # Grafana: docs, "Service accounts"
    r"NRAK-\w{16}|PMAK-[\w-]{16}|lin_api_\w{16}|figd_[\w-]{16}",  # New Relic, Postman, Linear, Figma
    r"sbp_[0-9a-f]{20}|sb_secret_\w{16}|pscale_(?:tkn|pw|oauth)_[\w-]{16}",  # Supabase, PlanetScale
    r"hv[sbr]\.[\w-]{16}|tskey-\w+-\w{8}|ops_eyJ|ATATT3[\w=-]{16}",  # Vault, Tailscale, 1Password, Atlassian
    r"AGE-SECRET-KEY-1|eyJ[\w-]{8,}\.eyJ[\w-]{4,}\.",  # age; a JSON Web Token: RFC 7519
)
_KNOWN: Final = re.compile(r"(?<![A-Za-z0-9])(?:" + "|".join(_PREFIXES) + ")")
_PEM: Final = re.compile(r"-----BEGIN [A-Z0-9 ]+-----|LS0tLS1CRUdJTi")  # the second is the first in base64
_URL_PASSWORD: Final = re.compile(r"://[^\s/?#:@]*:[^\s/?#]+@")
# A header's value, alone or behind its name: in a command, such as that of curl, it may stand anywhere.
_HEADER: Final = re.compile(r"(?:^\s*|authorization\W{1,6})(?:bearer|basic|token)\s+[^\s$<{]", re.IGNORECASE)
_WORDS: Final = (
    r"password|passwd|passphrase|pwd|secret|token|(?:api|account|access|private|secret|signing|encryption)[_-]?key"
)
# `password=…` of a connection string, `?token=…` of a URL, `"private_key": "…"` of JSON, `--api-key=…` of a command.
_MEMBER: Final = re.compile(rf"""(?:{_WORDS}|signature|(?<!\w)sig)["']?\s*[=:]\s*["']?[^\s"',;&$<{{]""", re.IGNORECASE)
# `--password …` of a command that is one text.
_OPTION: Final = re.compile(rf"""(?:^|\s)--?(?:[a-z]+-)*(?:{_WORDS})\s+["']?[^\s"'$<{{-]""", re.IGNORECASE)

# Names of content, not secrets: an image with its tag or digest, a digest by itself, a UUID.
_IMAGE: Final = re.compile(r"(?:[\w-]+\.)+[a-z]{2,}(?::\d+)?(?:/[a-z0-9._-]+)+(?::[\w.-]+)?(?:@sha256:[0-9a-f]{64})?")
_IDENTIFIER: Final = re.compile(
    r"sha(?:256|512):[0-9a-f]+|(?<!\w)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?!\w)", re.IGNORECASE
)
_COMMIT_NAME: Final = re.compile(r"(?:^|_)(?:SHA|COMMIT|REVISION)(?:_SHA)?$", re.IGNORECASE)
_COMMIT: Final = re.compile(r"[0-9a-f]{7,40}")
_RUN: Final = re.compile(r"[A-Za-z0-9+/=_-]+")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9]+")
_SHORTEST_RUN: Final = 20
_SHORTEST_SEGMENT: Final = 10


def looks_secret(name: str, value: str) -> bool:
    """Return whether a value of this name, of a variable or a header, looks secret.

    The name may be empty where there is none, as of a word of a command.
    """
    if value.strip().lower() in _SWITCHES or (_COMMIT_NAME.search(name) and _COMMIT.fullmatch(value)):
        return False
    return is_secret_name(name) or _is_secret_text(value)


def is_secret_name(name: str) -> bool:
    """Return whether the name is one that secrets have."""
    return _NAME.search(_HARMLESS_WORDS.sub(" ", name.upper())) is not None


def _is_secret_text(text: str) -> bool:
    if any(form.search(text) for form in (_KNOWN, _PEM, _URL_PASSWORD, _HEADER, _MEMBER, _OPTION)):
        return True
    if _IMAGE.fullmatch(text):
        return False
    return any(_is_random(run) for run in _RUN.findall(_IDENTIFIER.sub(" ", text)))


def _is_random(run: str) -> bool:
    """Return whether a run of letters, digits and base64's signs looks random.

    Random text changes between small letters, capitals and digits much more often than words, dates and versions do.
    Only changes inside a segment count, so that words may be joined by any sign.
    """
    segments = _SEGMENT.findall(run)
    length = sum(map(len, segments))
    if length < _SHORTEST_RUN or max(map(len, segments)) < _SHORTEST_SEGMENT:
        return False
    pairs = [pair for segment in segments for pair in itertools.pairwise(segment)]
    to_digit = sum(before.isdigit() != after.isdigit() for before, after in pairs)
    to_capital = sum(before.islower() and after.isupper() for before, after in pairs)
    share = (to_digit + to_capital) / len(pairs)
    has_digits = to_digit >= 3
    return share >= (0.16 if has_digits else 0.22) and len(set(run)) >= 9
