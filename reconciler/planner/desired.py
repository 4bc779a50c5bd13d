"""Decide what the machine of a slot is to be, and its image's digest. Pure.

The digest is what the image's tag was resolved to, else what was applied last. The platform looks a tag up only when a
machine is made or its reference changes. So what is sent names the digest beside the tag. If a tag was pushed again,
the plan shows that as a change. An image that the spec builds has the tag of its content, before it is built too.
"""

from collections.abc import Callable, Collection, Mapping

from msgspec.structs import replace

from reconciler.canonical.digest import digest_of
from reconciler.model import marks
from reconciler.model.config import MachineConfig
from reconciler.model.desired import DesiredMachine
from reconciler.model.image import ImageReference, is_same_image, reference
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


def with_contents(spec: Spec, contents: Mapping[tuple[str, str], str]) -> Spec:
    """Return the spec with its built images named by their contents.

    `contents` are references, by the app and the name of the pool.
    """

    def named(pool: Pool) -> Pool:
        content = contents.get((pool.app, pool.name))
        return replace(_with_image(pool, content), has_resolved_image=True) if content else pool

    return replace(spec, apps=tuple(_each_pool(app, named) for app in spec.apps))


def with_applied_digests(spec: Spec, observed: Observed, *, unsure: Collection[str] = ()) -> Spec:
    """Return the spec with other images named by the digest that was applied last.

    Only if that is of the image's tag. So a registry that cannot be asked is no difference, and what someone else put
    on a machine is one. `unsure` are built images, by their contents, of which the registry gave no answer.
    """
    apps = (with_applied_digests_of(app, observed.apps[app.name], stack=spec.stack, unsure=unsure) for app in spec.apps)
    return replace(spec, apps=tuple(apps))


def with_applied_digests_of(app: App, observed: ObservedApp, *, stack: str, unsure: Collection[str] = ()) -> App:
    """Return the same for one app."""
    owned: dict[str, list[Machine]] = {}
    for machine in observed.machines:
        metadata = machine.metadata
        if marks.is_owned(metadata, stack=stack, name=machine.name):
            owned.setdefault(metadata[marks.POOL], []).append(machine)

    def kept(pool: Pool) -> Pool:
        machines = owned.get(pool.name, [])
        if pool.config.image in unsure:
            digest = _digest_of_content(pool, machines)
            if digest is None and _is_without_content(pool, machines):
                pool = _with_image(pool, pool.build_image)
                digest = _applied_digest(pool, machines)
        else:
            digest = _applied_digest(pool, machines)
        return _resolved(pool, digest) if digest else pool

    return _each_pool(app, kept)


def with_digest(config: MachineConfig, found: str | None) -> MachineConfig:
    """Return the config with its image named by what was found for its tag too.

    An image that has a digest already stays as it is.
    """
    image = reference(config.image)
    if found is None or image is None or image.digest:
        return config
    return replace(config, document={**config.document, "image": image.resolved(found)})


def as_run(machine: Machine, image: str | None) -> MachineConfig:
    """Return the machine's config, with its image named by digest if that is `image`.

    What the platform reports as its image's digest counts where the config has a tag only.
    """
    config = machine.config or MachineConfig(document={})
    found = with_digest(config, machine.image_digest)
    return found if is_same_image(found.image, image) else config


def has_moved(observed: object, desired: object) -> bool:
    """Return whether two images have one tag that names another digest now.

    Of an image that the spec builds: whether its content is another one.
    """
    before, after = reference(observed), reference(desired)
    if before is None or after is None:
        return False
    if after.is_content and after.is_in(before):
        return before.identity != after.identity
    return bool(after.digest) and before.digest != after.digest and before.is_same_tag(after)


def _resolved(pool: Pool, found: str) -> Pool:
    config = with_digest(pool.config, found)
    return replace(pool, config=config, has_resolved_image=pool.has_resolved_image or config is not pool.config)


def _with_image(pool: Pool, image: str | None) -> Pool:
    config = replace(pool.config, document={**pool.config.document, "image": image})
    return replace(pool, config=config, has_resolved_image=False)


def _applied_digest(pool: Pool, machines: list[Machine]) -> str | None:
    """Return what the last apply resolved the tag to, by the anchor's mark.

    None if no machine has an image of that tag. Of a built image whose content is not known it is the content too.
    """
    declared = reference(pool.config.image)
    if declared is None or declared.digest or (pool.build and declared.is_content):
        return None
    images = _images_of(machines)
    is_applied = any(image.is_same_tag(declared) or (pool.build and image.is_content) for image in images)
    if not is_applied:
        return None
    wants = (marks.parse_want(mark) for machine in machines if (mark := machine.metadata.get(marks.WANT)))
    return next((want.image_digest for want in wants if want.image_digest), None)


def _is_without_content(pool: Pool, machines: list[Machine]) -> bool:
    """Return whether an earlier version applied the built image, by its digest alone."""
    declared = reference(pool.build_image)
    if declared is None:
        return False
    return any(image.digest and image.is_same_tag(declared) for image in _images_of(machines))


def _digest_of_content(pool: Pool, machines: list[Machine]) -> str | None:
    """Return the digest of what was built of the content, if a machine has it."""
    images = [image for image in _images_of(machines) if is_same_image(image.tagged, pool.config.image)]
    return next((image.digest for image in images if image.digest), None)


def _images_of(machines: list[Machine]) -> list[ImageReference]:
    found = (reference(machine.config.image) for machine in machines if machine.config and machine.is_observable)
    return [image for image in found if image]


def _each_pool(app: App, change: Callable[[Pool], Pool]) -> App:
    return replace(app, pools=tuple(change(pool) for pool in app.pools))
