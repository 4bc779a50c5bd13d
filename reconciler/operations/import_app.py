"""Make the spec of an app's live machines, and prove it before anyone sees it.

Reads only.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, TypeVar

from msgspec import Struct, field

from reconciler.drafts.live_machines import LiveApp, LiveDraft, draft_of
from reconciler.drafts.names import is_app_name, is_org_slug
from reconciler.drafts.variables import Variables
from reconciler.drafts.write import write_draft
from reconciler.errors import ApiError, SpecError, UnobservedError, UsageError
from reconciler.hidden import HidesFields
from reconciler.machines_api.observe import observe
from reconciler.model.machine import Observed
from reconciler.operations.import_proof import disproof
from reconciler.operations.session import Session
from reconciler.spec import load_spec

T = TypeVar("T")

FILE: Final = "machines.yaml"
_STACK_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_MOST_NAMED: Final = 10  # machines, in an error
_DEFAULT_ORG: Final = "personal"
_SHOWN: Final = 3


class ImportOptions(Struct, frozen=True, kw_only=True):
    """What is imported, and how much of it is shown.

    `stack` is the stack's name, by default the app's. `skipped` are names or ids of machines to leave out.
    """

    stack: str | None = None
    org: str | None = None
    shows_all: bool = False
    shows_files: bool = False
    skipped: Collection[str] = ()
    is_own_token: Callable[[str], bool] = lambda _text: False  # of this tool, which no output shows


class Imported(HidesFields, frozen=True, kw_only=True):
    """The text of a spec that is proven, or the problems for which there is none.

    `variables` are the names of those that have no value in the text. `left_alone` are machines that are not in it,
    `kept` what else the app has, by what it is; None where that could not be read.
    """

    _hidden = frozenset({"text"})

    text: str = ""
    variables: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    left_alone: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    kept: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    stack: str = ""
    machine_count: int = 0
    is_deployed_by_fly: bool = False


async def import_app(session: Session, app: str, options: ImportOptions) -> Imported:
    """Return the spec of the app's live machines. Raises ApiError, UsageError."""
    stack = options.stack or app
    _check_names(app, stack, options.org)
    client = session.context.client
    observed = await observe(client, [app], clock=session.context.clock)
    seen = observed.apps[app]
    if not seen.exists:
        hint = "`fly apps list` has the names of those on Fly; the local engine has only apps that were made on it"
        raise UsageError(f"there is no app {app}", hint=hint)
    if seen.unobserved:
        raise UnobservedError(f"{seen.unobserved}: the answer cannot be believed", hint="try again in a moment")
    if unknown := [one for one in options.skipped if not any(one in {it.id, it.name} for it in seen.machines)]:
        names = ", ".join(machine.name for machine in seen.machines[:_MOST_NAMED])
        raise UsageError(f"app {app} has no machine {', '.join(unknown)} to skip", hint=f"its machines: {names}")
    info, kept = await asyncio.gather(_or_none(client.apps.get(app)), _kept(session, app))
    org = options.org or (info.org if info and info.org != _DEFAULT_ORG else None)
    variables = Variables(
        shows_all=options.shows_all, shows_files=options.shows_files, is_own_token=options.is_own_token
    )
    live = LiveApp(
        name=app,
        machines=seen.machines,
        at=observed.at,
        stack=stack,
        org=org,
        secrets=kept["secrets"] or (),
        skipped=options.skipped,
    )
    found = draft_of(live, variables)
    text = _proven(found, variables, observed)
    return Imported(
        text=text,
        variables=tuple(variables.values) if text else (),
        problems=tuple(found.problems),
        left_alone=tuple(found.left_alone),
        notes=tuple(found.notes),
        kept=kept,
        stack=stack,
        machine_count=len(found.machine_ids),
        is_deployed_by_fly=any(one.is_deployed_by_fly for one in seen.machines if one.id in found.machine_ids),
    )


def _check_names(app: str, stack: str, org: str | None) -> None:
    if not is_app_name(app):
        why = f"{app!r} cannot be the name of an app: it has small letters, digits and dashes, at most 63"
        raise UsageError(why, hint="`fly apps list` has the names")
    if not _STACK_NAME.fullmatch(stack):
        why = f"{stack!r} cannot be the name of a stack: it has small letters, digits, dashes and _"
        raise UsageError(why, hint="choose another: it is written on each machine as its owner's mark")
    if org is not None and not is_org_slug(org):
        why = f"{org!r} cannot be an organisation's slug: it has small letters, digits and dashes"
        raise UsageError(why, hint="`fly orgs list` has the slugs")


async def _kept(session: Session, app: str) -> dict[str, tuple[str, ...] | None]:
    """Return what the app has beside its machines, which an import leaves alone."""
    apps = session.context.client.apps

    async def addresses() -> tuple[str, ...]:
        return tuple(one.ip for one in await apps.addresses(app))

    calls: dict[str, Callable[[], Awaitable[tuple[str, ...]]]] = {
        "secrets": lambda: apps.secrets(app),
        "addresses": addresses,
        "certificates": lambda: apps.certificates(app),
        "volumes": lambda: apps.volumes(app),
    }
    found = await asyncio.gather(*(_or_none(call()) for call in calls.values()))
    return dict(zip(calls, found, strict=True))


async def _or_none(call: Awaitable[T]) -> T | None:
    try:
        return await call
    except ApiError:
        return None


def _proven(found: LiveDraft, variables: Variables, observed: Observed) -> str:
    """Return the draft's text if the proof holds; else "", and add to the problems."""
    if found.draft is None:
        return ""
    try:
        text = write_draft(found.draft)
        spec = load_spec(text, file=FILE, environment=variables.values)
    except SpecError as error:
        found.problems += [f"the spec of these machines is none: {one.message}" for one in error.diagnostics[:_SHOWN]]
        return ""
    except ValueError as error:
        found.problems.append(str(error))
        return ""
    found.problems += disproof(spec, observed, found.machine_ids)
    found.notes += [f"{one.message}: no machine may be made there again" for one in spec.unlisted_regions.values()]
    return "" if found.problems else text
