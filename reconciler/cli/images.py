"""The spec with its images named by digest: what their tags are now, as far as the registries tell."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.cli.options import Shared
from reconciler.model.machine import Observed
from reconciler.model.spec import Spec

if TYPE_CHECKING:
    from reconciler.slots.actor import Actor
    from reconciler.targets import Target

F = TypeVar("F", bound=Callable[..., Any])
_MODES = ("always", "auto", "never")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A snapshot, and the spec with the digests that its plan is made with; `digests` are those that were looked up."""

    spec: Spec
    observed: Observed
    digests: Mapping[str, str] = field(default_factory=dict)


def resolve_option(function: F) -> F:
    """Adds --resolve to a command."""
    text = "Look up what the images' tags name now. [default: auto: as far as the registries answer]"
    return click.option("--resolve", "resolve_mode", type=click.Choice(_MODES), help=text)(function)


def mode_of(flag: str | None, target: "Target") -> str:
    """The flag's, else the environment's. The local engine runs commands on the host: it looks up no image."""
    named = flag or os.environ.get("RECONCILER_RESOLVE")
    if named and named not in _MODES:
        raise click.UsageError(f"RECONCILER_RESOLVE is {named!r}; it is {', '.join(_MODES)}")
    return named or ("never" if target.name == "local" else "auto")


async def observe_pinned(actor: "Actor", spec: Spec, options: Shared, target: "Target", mode: str) -> Pinned:
    """The snapshot, taken while the tags are looked up. Raises ApiError, RegistryError."""
    import asyncio

    from reconciler.machines_api.observe import observe
    from reconciler.planner import with_digests, with_live_digests

    looking = asyncio.create_task(_look_up(spec, options, target, mode))
    try:
        observed = await observe(actor.client, [app.name for app in spec.apps], clock=actor.clock)
        digests, warnings = await looking
    finally:
        looking.cancel()
    pinned = with_live_digests(with_digests(spec, digests), observed)
    return Pinned(spec=replace(pinned, warnings=(*pinned.warnings, *warnings)), observed=observed, digests=digests)


async def observe_as_planned(actor: "Actor", spec: Spec, digests: Mapping[str, str]) -> Pinned:
    """The snapshot, and the spec with the digests of a plan that was made before: those were reviewed."""
    from reconciler.machines_api.observe import observe
    from reconciler.planner import with_digests, with_live_digests

    observed = await observe(actor.client, [app.name for app in spec.apps], clock=actor.clock)
    pinned = with_live_digests(with_digests(spec, digests), observed)
    return Pinned(spec=pinned, observed=observed, digests=digests)


async def _look_up(
    spec: Spec, options: Shared, target: "Target", mode: str
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    pools = [pool for pool in spec.pools if pool.slots and (not options.only or pool.name in options.only)]
    images = {pool.config.image for pool in pools if pool.config.image}
    if mode == "never" or not images:
        return {}, ()
    from reconciler.images.credentials import find_credentials
    from reconciler.images.registry import Registry
    from reconciler.images.resolve import Resolve, resolve_images
    from reconciler.images.wire import Connection

    token = target.token if target.name == "fly" else None
    async with Connection() as connection:
        registry = Registry(connection, lambda host, name: find_credentials(host, name, os.environ, fly_token=token))
        resolved = await resolve_images(registry, images, Resolve(mode))
    return resolved.digests, resolved.warnings
