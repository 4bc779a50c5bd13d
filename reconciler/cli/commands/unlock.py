"""`reconciler unlock`: release leases of dead processes, and list the others."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared, shared, shared_options
from reconciler.cli.ui.session import load_spec, open_session, resolve
from reconciler.cli.ui.signals import run_async
from reconciler.model.spec import Spec

if TYPE_CHECKING:
    from reconciler.operations.unlock import FoundLease, Unlocked
    from reconciler.targets import Target


@click.command("unlock")
@shared_options
def command(**_values: object) -> int:
    """Release leases of your dead processes on this host.

    Only processes that began since the host's last boot are recognised. Other leases are listed with their holder and
    expiry. A lease expires by itself within a minute. Ends 0 if none is left, otherwise 1.
    """
    from reconciler.cli.ui.errors import tell_failures
    from reconciler.operations.scope import scope_of
    from reconciler.render.redact import clean
    from reconciler.render.scope import scope_line, scope_members

    options = shared()
    spec = load_spec(options)
    target = resolve(options)
    found = run_async(_unlock(options, spec, target))
    if options.is_json:
        failures = [clean(why) for why in found.failures]
        where = {"stack": spec.stack, **scope_members(scope_of(spec, target))}
        console.print_json({**where, "leases": [_as_json(one) for one in found.leases], "failures": failures})
    else:
        lines = [_line(one) for one in found.leases]
        lines = [scope_line(scope_of(spec, target)), *(lines or ["No leases on this stack's machines."])]
        console.print_lines(*lines)
    return tell_failures(found.failures) or (0 if all(one.is_released for one in found.leases) else 1)


async def _unlock(options: Shared, spec: Spec, target: "Target") -> "Unlocked":
    from reconciler.operations.unlock import unlock

    async with open_session(options, target, console.say) as session:
        return await unlock(session.context, spec)


def _line(found: "FoundLease") -> str:
    from reconciler.slots.lease_description import until_words

    word = "released" if found.is_released else "held"
    until = until_words(found.expires_at, now=datetime.now(UTC))
    return f"{word}: {found.app}/{found.machine} until {until}  ({_holder(found)})"


def _holder(found: "FoundLease") -> str:
    from reconciler.render.redact import clean

    return clean(found.holder, 120)


def _as_json(found: "FoundLease") -> dict[str, object]:
    return {
        "app": found.app,
        "machine": found.machine_id,
        "name": found.machine,
        "holder": _holder(found),
        "expires_at": found.expires_at.isoformat(),
        "released": found.is_released,
    }
