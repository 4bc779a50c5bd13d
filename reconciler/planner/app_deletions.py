"""Decide which apps are deleted with their stack, and what prevents it. Pure.

The platform deletes all that is in an app. So one is deleted only if nothing is in it that is not the stack's own:
another machine, a volume, a certificate. Its IP addresses and secrets go with it; they are named.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from reconciler.model.app_contents import AppContents
from reconciler.model.machine import Observed
from reconciler.model.plan import AppDeletion, Plan
from reconciler.model.spec import Spec

_MOST_NAMED: Final = 5


def apps_to_delete(spec: Spec) -> tuple[str, ...]:
    """Return the apps that go with the stack.

    Of an environment these are the apps with its name in theirs: others are shared with other environments.
    """
    return tuple(app.name for app in spec.apps if spec.environment is None or _holds(app.name, spec.environment))


def with_app_deletions(plan: Plan, spec: Spec, observed: Observed, contents: Mapping[str, AppContents]) -> Plan:
    """Return the plan that also deletes those apps of `contents` that still exist.

    It is blocked if one of them has what is not the stack's own.
    """
    chosen = apps_to_delete(spec)
    contents = {name: contents[name] for name in chosen if name in contents and observed.apps[name].exists}
    kept = [
        f"app {app.name} is kept: its name does not contain {spec.environment}"
        for app in spec.apps
        if app.name not in chosen and observed.apps[app.name].exists
    ]
    blocked = [_words(name, others) for name in contents if (others := [*_others(plan, name, contents[name])])]
    return replace(
        plan,
        app_deletions=tuple(
            AppDeletion(app=name, addresses=one.addresses, secrets=one.secrets) for name, one in contents.items()
        ),
        warnings=(*plan.warnings, *kept),
        blocked=(*plan.blocked, *blocked),
    )


def _others(plan: Plan, app: str, contents: AppContents) -> Iterator[str]:
    """Name what is in the app and would be lost."""
    for machine in plan.foreign:
        if machine.app == app:
            yield f"machine {machine.name or machine.id} ({machine.reason})"
    for unreachable in plan.unreachable:
        if unreachable.slot.app == app:
            yield f"machine {unreachable.slot.name} (it cannot be observed)"
    yield from in_the_way(contents)


def in_the_way(contents: AppContents) -> Iterator[str]:
    """Name what is lost for good, or made by hand, and so prevents the deletion."""
    yield from (f"volume {volume}" for volume in contents.volumes)
    yield from (f"the certificate of {host}" for host in contents.certificates)


def _words(app: str, others: list[str]) -> str:
    named = ", ".join(others[:_MOST_NAMED])
    more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
    return (
        f"app {app} cannot be deleted, since it has what is not this stack's: {named}{more};"
        " remove that, or destroy without --delete-apps"
    )


def _holds(name: str, environment: str) -> bool:
    """Return whether a part of the name between dashes is the environment."""
    return re.search(rf"(?:^|-){re.escape(environment)}(?:-|$)", name) is not None
