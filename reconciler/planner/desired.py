"""Decide what the machine of a slot is to be, and its image's digest. Pure.

The digest is what the image's tag was resolved to, else what was applied last. The platform looks a tag up only when a
machine is made or its reference changes. So what is sent names the digest beside the tag. If a tag was pushed again,
the plan shows that as a change.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from reconciler.canonical.digest import digest_of
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.desired import DesiredMachine
from reconciler.model.image import ImageReference, parse_image
from reconciler.model.machine import Machine, Observed, ObservedApp
from reconciler.model.spec import App, Pool, PoolKind, Slot, Spec


def desired_machine(pool: Pool, slot: Slot, *, anchor: str | None, digest: str | None = None) -> DesiredMachine:
    """Return what the slot's machine is to be. `anchor` names the pool's anchor.

    `digest` is that of the pool's config, if the caller has it already.
    """
    is_anchor = anchor == slot.name
    return DesiredMachine(
        slot=slot,
        kind=pool.kind,
        config=pool.config,
        digest=digest or digest_of(pool.config),
        anchor=anchor,
        run_policy=pool.run_policy.to_text() if is_anchor and pool.kind is PoolKind.TASK else None,
        counts=counts_of(pool) if is_anchor else None,
        image_digest=pool.resolved_digest,
        launch=pool.launch,
        is_protected=pool.is_protected,
    )


def counts_of(pool: Pool) -> str | None:
    """Return the number of the pool's machines by region, as the text of a mark.

    None for a pool with services or checks: only an update can write marks there, so the mark could become wrong.
    """
    if pool.config.services or pool.config.checks:
        return None
    return marks.counts_to_text(pool.counts) or None


def with_digests(spec: Spec, digests: Mapping[str, str]) -> Spec:
    """Return the spec with each of these images named by its digest too."""

    def pinned(pool: Pool) -> Pool:
        digest = digests.get(pool.config.image or "")
        return _resolved(pool, digest) if digest else pool

    return replace(spec, apps=tuple(_each_pool(app, pinned) for app in spec.apps))


def with_applied_digests(spec: Spec, observed: Observed) -> Spec:
    """Return the spec with other images named by the digest that was applied last.

    Only if that is of the image's tag. So a registry that cannot be asked is no difference, and what someone else put
    on a machine is one.
    """
    apps = (with_applied_digests_of(app, observed.apps[app.name], stack=spec.stack) for app in spec.apps)
    return replace(spec, apps=tuple(apps))


def with_applied_digests_of(app: App, observed: ObservedApp, *, stack: str) -> App:
    """Return the same for one app."""
    owned: dict[str, list[Machine]] = {}
    for machine in observed.machines:
        if marks.is_owned(machine.metadata, stack=stack, name=machine.name):
            owned.setdefault(machine.metadata[marks.POOL], []).append(machine)

    def kept(pool: Pool) -> Pool:
        digest = _applied_digest(pool, owned.get(pool.name, []))
        return _resolved(pool, digest) if digest else pool

    return _each_pool(app, kept)


def with_digest(config: MachineConfig, digest: str | None) -> MachineConfig:
    """Return the config with its image named by this digest too, if it has none."""
    image = reference(config.image)
    if digest is None or image is None or image.digest:
        return config
    return replace(config, document={**config.document, "image": image.pinned(digest)})


def has_moved(observed: object, desired: object) -> bool:
    """Return whether two images have one tag that names another digest now."""
    before, after = (reference(value) if isinstance(value, str) else None for value in (observed, desired))
    return bool(before and after and after.digest and before.digest != after.digest and before.is_same_tag(after))


def reference(image: str | None) -> ImageReference | None:
    """Parse the reference; None if it is none, as on machines that others made."""
    try:
        return parse_image(image) if image else None
    except ValueError:
        return None


def _resolved(pool: Pool, digest: str) -> Pool:
    config = with_digest(pool.config, digest)
    return replace(pool, config=config, has_resolved_image=config is not pool.config)


def _applied_digest(pool: Pool, machines: list[Machine]) -> str | None:
    """Return what the last apply resolved the tag to, by the anchor's mark.

    None if no machine has an image of that tag.
    """
    declared = reference(pool.config.image)
    if declared is None or declared.digest:
        return None
    live = (reference(machine.config.image) for machine in machines if machine.config and machine.is_observable)
    if not any(image and declared.is_same_tag(image) for image in live):
        return None
    wants = (marks.parse_want(machine.metadata.get(marks.WANT, "")) for machine in machines)
    return next((want.image_digest for want in wants if want.image_digest), None)


def _each_pool(app: App, change: Callable[[Pool], Pool]) -> App:
    return replace(app, pools=tuple(change(pool) for pool in app.pools))
