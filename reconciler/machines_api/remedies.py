"""Say what to do about an error of the API.

It depends on the kind, the call, and what the network stack says. What an answer means, `errors.py` decides; here each
meaning has its remedy.
"""

from typing import Final, NamedTuple

from reconciler.errors import ApiError, ApiErrorKind

K = ApiErrorKind
PROXY_FAILED: Final = "proxy: "  # begins what is said of a proxy that does not connect

_HINTS: Final = {
    K.UNREACHABLE: "check the URL and the network; `--target local` needs neither",
    K.UNAUTHORIZED: "the token is missing, wrong or expired: `fly auth login`, or set FLY_API_TOKEN to the output of"
    " `fly tokens create deploy{of_app}`; `reconciler doctor` shows which token is used",
    K.FORBIDDEN: "the token has no access to it: set FLY_API_TOKEN to the output of `fly tokens create deploy{of_app}`;"
    " if another organisation has the app, give yours another `name` in the spec: names are global on Fly",
    K.NOT_AN_API: "is this the URL of a Machines API? --target, or FLY_FLAPS_BASE_URL, names it",
    K.RATE_LIMITED: "the platform allows one call a second for each action; try again, or lower --parallelism",
    K.VOLUME_BUSY: "a volume has one machine at a time: take it off the other one, or wait until that is destroyed",
    K.CAPACITY: "the platform has no capacity there now: try again later, or another region",
    K.QUOTA: "the organisation's limit is reached: remove machines, or ask the platform for more",
    K.HOST_MAINTENANCE: "the machine's host is in maintenance: try again later",
    K.IMAGE_NOT_READY: "check that the image was pushed; right after a push it may take a minute to be seen",
    K.BAD_INPUT: "the platform does not accept what was sent: change what it names in the spec",
    K.UNCLEAR: "it may have taken effect: run the command again, it checks the state first",
}

_PROXY_LOGIN: Final = "set them in HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT"
_HINTS_OF_STATUSES: Final = {407: f"the proxy wants a user and a password: {_PROXY_LOGIN}"}

# The same by a part of the reply's text, which says more than its kind.
_HINTS_OF_TEXTS: Final = (
    ("the engine cannot write", "free some space on the disk of the engine's home, RECONCILER_HOME, and try again"),
)

# The same for a call that creates an app.
_HINTS_OF_CREATION: Final = {
    K.BAD_INPUT: "is {org} an organisation that the token reaches? `fly orgs list` shows yours; `org` of the app in the"
    " spec names another",
    K.NAME_TAKEN: "another organisation has this name, as names are global on Fly: give the app another `name` in the"
    " spec, or use a token of the organisation that has it",
    K.UNAUTHORIZED: "a deploy token cannot create apps: `fly apps create {app} -o {org}` first, or set FLY_API_TOKEN"
    " to the output of `fly tokens create org {org}`",
    K.FORBIDDEN: "the token cannot create apps in organisation {org}: `fly apps create {app} -o {org}` first, or set"
    " FLY_API_TOKEN to the output of `fly tokens create org {org}`",
}


class _Cause(NamedTuple):
    texts: tuple[str, ...]  # parts of what the network stack says, in lower case
    words: str
    hint: str


# Why a server cannot be reached. First match wins.
_CAUSES: Final = (
    _Cause(
        ("certificate_verify_failed",),
        "its certificate is not trusted here",
        "behind a proxy with certificates of its own, set SSL_CERT_FILE to the file of its CA",
    ),
    _Cause(
        ("wrong_version_number", "record_layer_failure", "http_request"),
        "it speaks no TLS there",
        "is http:// meant in place of https://, or another port?",
    ),
    _Cause(
        ("407 ", "proxy authentication"),
        "the proxy wants a user and a password",
        _PROXY_LOGIN,
    ),
    _Cause(
        (PROXY_FAILED,),
        "the proxy is not there, or does not let us through",
        "check HTTPS_PROXY and the network, or name the host in NO_PROXY",
    ),
    _Cause(
        ("name resolution", "name or service not known", "nodename nor servname", "getaddrinfo", "no address"),
        "its name cannot be resolved",
        "check the URL and the network; `--target local` needs neither",
    ),
    _Cause(
        ("all connection attempts failed", "refused"),
        "nothing answers there",
        "check host and port of the URL, and the network; `--target local` needs neither",
    ),
)

CERTIFICATES_HINT: Final = "let SSL_CERT_FILE name a file of CA certificates in PEM form, or unset it"
PROXY_HINT: Final = "name an HTTP proxy there, such as http://HOST:PORT, or the host that is asked in NO_PROXY"
# The same of calls to the local engine.
ENGINE_HINTS: Final = {
    K.UNREACHABLE: "the local engine is not running; the next command or call starts it",
    K.UNAUTHORIZED: "the engine has another token than its home: `reconciler engine stop`, and run this again",
}
READ_HINT: Final = "that was a read, and changed nothing: try again in a moment"  # UNCLEAR, of a GET

# What an exchange that broke off is called where the network stack says nothing.
_BROKEN: Final = {
    "ReadTimeout": "no answer in time",
    "WriteTimeout": "no answer in time",
    "ConnectTimeout": "no connection in time",
    "PoolTimeout": "no connection in time",
    "ReadError": "the connection broke off",
    "WriteError": "the connection broke off",
    "CloseError": "the connection broke off",
}


def hint_for(kind: ApiErrorKind, app: str | None = None, *, status: int | None = None, text: str = "") -> str | None:
    """Return what to do about an error of this kind, of a call on the app.

    `status` and `text` are those of the reply.
    """
    hint = next((words for part, words in _HINTS_OF_TEXTS if part in text), _HINTS.get(kind))
    hint = _HINTS_OF_STATUSES.get(status or 0, hint)
    return hint.replace("{of_app}", f" -a {app}" if app else "") if hint else None


def hint_of_creation(error: ApiError, app: str, org: str) -> str | None:
    """Return what to do about an app that could not be created."""
    hint = _HINTS_OF_CREATION.get(error.kind)
    return hint.format(app=app, org=org) if hint else error.hint


def why_unanswered(why: str, kind: ApiErrorKind) -> tuple[str, str | None]:
    """Return what the network stack means by `why`, and what to do."""
    if kind is K.UNREACHABLE:
        lowered = why.lower()
        cause = next((one for one in _CAUSES if any(text in lowered for text in one.texts)), None)
        if cause:
            return f"{cause.words} ({why})", cause.hint
    return _BROKEN.get(why, why), hint_for(kind)
