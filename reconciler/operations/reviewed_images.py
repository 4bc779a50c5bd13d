"""Find the images of a reviewed plan, and whether the spec is the same.

The digests of the review count. A tag that the review did not have is looked up: after a merge it may be another name
of the same image. So is a content that was not built at the review.
"""

from msgspec.structs import replace

from reconciler.model.image import Resolve
from reconciler.model.plan import SavedPlan
from reconciler.model.spec import Spec
from reconciler.operations.images import ImagePolicy, LookedUp, look_up, with_known_contents
from reconciler.operations.saved_plans import check_origin, check_target, is_of_spec
from reconciler.operations.session import Session
from reconciler.planner.desired import with_digests


async def look_up_as_reviewed(session: Session, spec: Spec, saved: SavedPlan, policy: ImagePolicy) -> LookedUp:
    """Return the spec with the digests of the saved plan.

    Raises UsageError if the plan was made from another spec or for another target, and BuildError, RegistryError.
    """
    check_target(saved, spec, session.target)
    found = await _look_up(session, spec, saved, policy)
    check_origin(saved, spec, found.spec)
    session.context.pushed.add(found.digests.values())
    return found


async def _look_up(session: Session, spec: Spec, saved: SavedPlan, policy: ImagePolicy) -> LookedUp:
    pinned = with_digests(spec, saved.images)
    if is_of_spec(saved, spec):
        return LookedUp(spec=pinned, digests=saved.images)  # it names no contents
    named, jobs = await with_known_contents(session, pinned, policy, selection=saved.selection)
    known = LookedUp(spec=with_digests(named, saved.images), digests=saved.images, jobs=jobs)
    is_built = all(job.content.tagged in saved.images for job in jobs)
    if policy.mode is Resolve.NEVER or (is_built and is_of_spec(saved, known.spec)):
        return known
    found = await look_up(session, pinned, policy, selection=saved.selection)
    return replace(
        found,
        spec=with_digests(found.spec, saved.images),
        digests={**found.digests, **saved.images},
        unsure={image: error for image, error in found.unsure.items() if image not in saved.images},
    )
