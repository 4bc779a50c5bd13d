"""`reconciler unlock`: gives free what a process of ours had leased when it died; tells who holds the rest."""

from typing import TYPE_CHECKING

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared, shared, shared_options
from reconciler.cli.ui.session import load_spec, open_session, resolve
from reconciler.cli.ui.signals import run_async
from reconciler.model.spec import Spec

if TYPE_CHECKING:
    from reconciler.operations.unlock import FoundLease


@click.command("unlock")
@shared_options
def command(**_values: object) -> int:
    """Release leases whose holder was a process of yours on this host, since its boot, and is dead.

    Others are listed with their holder and expiry; a lease ends by itself within a minute. Ends 0 where none is left.
    """
    from reconciler.cli.ui.errors import tell_failures
    from reconciler.render.redact import clean

    options = shared()
    found, failures = run_async(_unlock(options, load_spec(options)))
    if options.is_json:
        console.print_json({"leases": [_as_json(one) for one in found], "failures": [clean(why) for why in failures]})
    else:
        lines = [_line(one) for one in found]
        console.print_text("\n".join(lines) if lines else "No leases on this stack's machines.")
    return tell_failures(failures) or (0 if all(one.is_released for one in found) else 1)


async def _unlock(options: Shared, spec: Spec) -> "tuple[list[FoundLease], list[str]]":
    from reconciler.operations.unlock import unlock

    async with open_session(options, resolve(options), console.say) as session:
        return await unlock(session.context, spec)


def _line(found: "FoundLease") -> str:
    word = "released" if found.is_released else "held"
    until = f"{found.lease.expires_at:%H:%M:%S} UTC"
    return f"{word}: {found.machine.app}/{found.machine.name} until {until}  ({_holder(found)})"


def _holder(found: "FoundLease") -> str:
    from reconciler.render.redact import clean

    return clean(found.lease.description or found.lease.owner, 120)


def _as_json(found: "FoundLease") -> dict[str, object]:
    return {
        "app": found.machine.app,
        "machine": found.machine.id,
        "name": found.machine.name,
        "holder": _holder(found),
        "expires_at": found.lease.expires_at.isoformat(),
        "released": found.is_released,
    }
