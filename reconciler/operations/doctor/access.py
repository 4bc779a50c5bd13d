"""Check the token, the target, and the apps of the spec."""

import asyncio
from typing import Final

from msgspec.structs import replace

from reconciler.errors import ApiError, ApiErrorKind, ReconcilerError
from reconciler.machines_api.tokens import TokenInfo
from reconciler.model.finding import Finding, Level
from reconciler.model.spec import App, Spec
from reconciler.operations.doctor.setup import Reach, Setup
from reconciler.operations.session import Session
from reconciler.targets import token_source

_SKEW_S: Final = 10.0
_NAMES_SHOWN: Final = 5
_GET_ONE: Final = "run `fly auth login`, or set FLY_API_TOKEN to the output of `fly tokens create deploy`"
_NEEDED: Final = f"{_GET_ONE}; or try it without an account: --target local"


async def reach(session: Session) -> Reach:
    """Ask the target twice: the second time shows how long an answer takes."""
    client, clock = session.context.client, session.context.clock
    skew_s: float | None = None
    began = clock.monotonic()
    for _ in range(2):
        began = clock.monotonic()
        try:
            headers = await client.platform.answer_headers()
        except ApiError as error:
            if error.is_passing:
                return Reach(problem=error.message.removeprefix("the target: "), mend=error.hint)
            break  # a refusal is an answer too
        skew_s = _skew_s(headers.get("date"), now_s=clock.now().timestamp())
    return Reach(latency_s=clock.monotonic() - began, skew_s=skew_s)


async def ask_token(session: Session) -> TokenInfo | ApiError:
    """Return what the token is for, or why the API does not tell."""
    try:
        return await session.context.client.platform.current_token()
    except ApiError as error:
        return error


def _skew_s(date: str | None, *, now_s: float) -> float | None:
    """Return how far our clock is ahead of the server's `Date`, to a second."""
    from email.utils import parsedate_to_datetime

    try:
        return now_s - parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, TypeError, OverflowError):
        return None


async def check_token(setup: Setup) -> tuple[Finding, ...]:
    """Check that there is a token, that the API takes it, and what it is for."""
    if setup.is_local:
        return (Finding(level=Level.SKIP, text="the local engine has one of its own"),)
    source = token_source(setup.environment, setup.target_name)
    if source is None and setup.is_fly:
        return (Finding(level=Level.FAIL, text="none: no variable has one, and flyctl is not logged in", mend=_NEEDED),)
    if source is None:
        return (Finding(level=Level.SKIP, text="none is set, and the target may need none"),)
    if not await setup.reached():
        text = f"of {source}; not tried, as the target does not answer"
        return (Finding(level=Level.SKIP, text=text, facts={"source": source}),)
    assert setup.session is not None
    assert setup.token is not None
    info = await asyncio.shield(setup.token)
    if isinstance(info, ApiError):
        return (await _doubtful(setup, setup.session, source, info),)
    return (_token_finding(source, info),)


def _token_finding(source: str, info: TokenInfo) -> Finding:
    orgs, apps = _few(info.organizations), _few(info.apps)
    where = f" of {orgs}" if orgs else ""
    if info.apps:
        kind, what = "deploy", f"a deploy token, for {apps}{where}"
    elif info.is_personal:
        kind, what = "personal", f"a personal token{where}"
    else:
        kind, what = "organisation", f"an organisation token{where}"
    facts = {"source": source, "kind": kind, "organizations": [*info.organizations], "apps": [*info.apps]}
    return Finding(level=Level.OK, text=f"of {source}: {what}", facts=facts)


async def _doubtful(setup: Setup, session: Session, source: str, error: ApiError) -> Finding:
    """Judge the token by a call about an app: not every server tells about tokens."""
    facts = {"source": source}
    if error.kind is not ApiErrorKind.UNAUTHORIZED and isinstance(setup.spec, Spec) and setup.spec.apps:
        try:
            await session.context.client.apps.get(setup.spec.apps[0].name)
            return Finding(level=Level.OK, text=f"of {source}: the API takes it", facts=facts)
        except ApiError as second:
            error = second
    if error.kind is ApiErrorKind.UNAUTHORIZED:
        mend = f"{_GET_ONE}; the variable comes first" if source.startswith("FLY_") else _GET_ONE
        return Finding(
            level=Level.FAIL, text=f"of {source}: the API refuses it ({error.status})", mend=mend, facts=facts
        )
    if error.kind is ApiErrorKind.FORBIDDEN:
        return Finding(level=Level.OK, text=f"of {source}: the API takes it", facts=facts)
    return Finding(level=Level.WARN, text=f"of {source}: {error.message}", mend=error.hint, facts=facts)


async def check_target(setup: Setup) -> tuple[Finding, ...]:
    """Check that the target answers, and that both clocks agree."""
    if isinstance(setup.target, ReconcilerError):
        return (Finding(level=Level.FAIL, text=setup.target.message, mend=setup.target.hint),)
    if setup.target is None or setup.reach is None:
        return (Finding(level=Level.SKIP, text="the local engine does not run; the next command starts it"),)
    found, url = await asyncio.shield(setup.reach), setup.target.base_url
    facts = {"url": url}
    if found.problem:
        return (Finding(level=Level.FAIL, text=found.problem, mend=found.mend, facts=facts),)
    latency_ms = round(found.latency_s * 1000)
    skew = {} if found.skew_s is None else {"clock_skew_s": round(found.skew_s)}
    text = f"{url} answers in {latency_ms} ms"
    answers = Finding(level=Level.OK, text=text, facts={**facts, "latency_ms": latency_ms, **skew})
    if found.skew_s is None or abs(found.skew_s) <= _SKEW_S:
        return (answers,)
    way = "ahead of" if found.skew_s > 0 else "behind"
    late = Finding(
        level=Level.WARN,
        text=f"this clock is {abs(found.skew_s):.0f} s {way} the server's: leases are judged by both",
        mend="set the clock, such as by `sudo timedatectl set-ntp true`",
    )
    return (answers, late)


async def check_apps(setup: Setup) -> tuple[Finding, ...]:
    """Check that the apps of the spec are there, or may be created."""
    if not isinstance(setup.spec, Spec):
        return ()
    if setup.session is None or not await setup.reached():
        why = "the local engine does not run" if setup.is_local else "the target does not answer"
        return (Finding(level=Level.SKIP, text=f"not asked, as {why}"),)
    session = setup.session
    answers = await asyncio.gather(*(_app(session, app) for app in setup.spec.apps))
    if any(answer and "missing_apps" in answer.facts for answer in answers) and await _is_deploy_token(setup):
        answers = [_beyond_deploy_token(answer) for answer in answers]
    there = [app.name for app, answer in zip(setup.spec.apps, answers, strict=True) if answer is None]
    found = [answer for answer in answers if answer]
    if there:
        verb = "is" if len(there) == 1 else "are"
        found.insert(0, Finding(level=Level.OK, text=f"{_few(there)} {verb} there", facts={"apps": there}))
    return tuple(found)


async def _is_deploy_token(setup: Setup) -> bool:
    info = await asyncio.shield(setup.token) if setup.token else None
    return isinstance(info, TokenInfo) and bool(info.apps)


def _beyond_deploy_token(finding: Finding | None) -> Finding | None:
    """Return the finding of an app that the first apply cannot create."""
    if finding is None or "missing_apps" not in finding.facts:
        return finding
    [app] = finding.facts["missing_apps"]
    text = f"{app} is not there yet, and a deploy token creates no app"
    return replace(
        finding, level=Level.WARN, text=text, mend=f"`fly apps create {app}`, or take an organisation's token"
    )


async def _app(session: Session, app: App) -> Finding | None:
    """Return what is to be said of the app; None if it is there."""
    facts = {"apps": [app.name]}
    try:
        if await session.context.client.apps.get(app.name):
            return None
    except ApiError as error:
        if error.kind is ApiErrorKind.UNAUTHORIZED:
            return Finding(level=Level.SKIP, text=f"{app.name}: not told, as the token is refused", facts=facts)
        level = Level.FAIL if error.kind is ApiErrorKind.FORBIDDEN else Level.WARN
        return Finding(level=level, text=error.message, mend=error.hint, facts=facts)
    return Finding(
        level=Level.OK,
        text=f"{app.name} is not there yet: the first apply creates it in {app.org}",
        facts={"missing_apps": [app.name]},
    )


def _few(names: list[str] | tuple[str, ...]) -> str:
    """Return the names in words, the first ones of many."""
    more = len(names) - _NAMES_SHOWN
    shown = ", ".join(names[:_NAMES_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown
