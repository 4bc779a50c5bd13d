"""Find what a plan says of images beside its changes. Pure.

That is which are to be built, and which variables name them.
"""

from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from reconciler.model.change import Change
from reconciler.model.image import reference
from reconciler.model.plan import ImageBuild, Plan
from reconciler.model.spec import App, Pool
from reconciler.planner.desired import with_digest


def builds_of(app: App, changes: Iterable[Change]) -> tuple[ImageBuild, ...]:
    """Return the images that these changes send and that are not built yet.

    They are named by their content alone.
    """
    found = {
        pool.config.image or "": ImageBuild(app=app.name, image=pool.config.image or "", context=pool.build.context)
        for pool in _sent(app, changes)
        if pool.build and _is_unbuilt(pool)
    }
    return tuple(found.values())


def image_variables_of(app: App, changes: Iterable[Change]) -> tuple[str, ...]:
    """Return the names of the variables in the images that these changes send."""
    return tuple(dict.fromkeys(name for pool in _sent(app, changes) for name in pool.image_variables))


def plan_with_digests(plan: Plan, digests: Mapping[str, str]) -> Plan:
    """Return the plan with the digests of images that were built since.

    `digests` are by the names of the images by their contents. The plan's hash stays.
    """
    if not digests:
        return plan
    built = {content.tag: digest for image, digest in digests.items() if (content := reference(image))}

    def named(content: str | None) -> str | None:
        return f"{content}@{built[content]}" if content in built else content

    def pinned(change: Change) -> Change:
        desired, handover = change.desired, change.handover
        if desired:
            config = with_digest(desired.config, digests.get(desired.config.image or ""))
            desired = replace(desired, config=config, image_digest=named(desired.image_digest))
        if handover:
            handover = replace(handover, image_digest=named(handover.image_digest))
        return replace(change, desired=desired, handover=handover)

    announced = (replace(one, image_digest=named(one.image_digest)) for one in plan.announcements)
    return replace(
        plan,
        changes=tuple(map(pinned, plan.changes)),
        announcements=tuple(announced),
        builds=tuple(one for one in plan.builds if one.image not in digests),
    )


def _sent(app: App, changes: Iterable[Change]) -> list[Pool]:
    """Return the pools whose config is sent to a machine, or is announced for one."""
    sending: Collection[str] = {change.slot.pool for change in changes if change.is_effective and change.desired}
    return [pool for pool in app.pools if pool.name in sending]


def _is_unbuilt(pool: Pool) -> bool:
    image = reference(pool.config.image)
    return image is not None and image.is_content and image.digest is None
