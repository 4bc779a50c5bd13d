"""Build the images that a plan needs, during its apply.

That is after the user has agreed, and after the apps are there: Fly's registry takes no image of an app that does not
exist. A build changes nothing of what was agreed to, since a built image counts by its content.
"""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from reconciler.errors import BuildError
from reconciler.model.plan import Plan
from reconciler.model.spec import Spec
from reconciler.operations.images import ImagePolicy, LookedUp, make_images
from reconciler.operations.session import Session
from reconciler.planner.desired import with_digests
from reconciler.planner.image_builds import plan_with_digests

if TYPE_CHECKING:
    from reconciler.images.builds import Job

_HOW_TO_BUILD: Final = "run `reconciler build`, or apply with --build"


class ImageBuilds:
    """The builds of an apply.

    Each is made once, however often the rest is planned again.
    """

    def __init__(self, session: Session, jobs: "Iterable[Job]", policy: ImagePolicy) -> None:
        self._session = session
        self._jobs = tuple(jobs)
        self._policy = policy
        self._digests: dict[str, str] = {}

    async def __call__(self, plan: Plan, spec: Spec, missing_apps: Collection[str]) -> tuple[Plan, Spec]:
        """Build what the plan needs; return plan and spec with the digests of that.

        Images of `missing_apps` cannot be pushed. Raises BuildError, RegistryError.
        """
        wanted = {one.image for one in plan.builds}
        for job in self._jobs:
            image = job.content.tagged
            if image in wanted and image not in self._digests and job.app not in missing_apps:
                policy = self._policy
                made = await make_images(self._session, (job,), builder=policy.builder, push_to=policy.push_to)
                self._digests.update({one.content: one.digest for one in made})
                self._session.context.pushed.add(self._digests.values())
                if not made[0].was_there:
                    self._session.context.emit(f"{image}: built")
        return plan_with_digests(plan, self._digests), with_digests(spec, self._digests)


def check_builds(session: Session, plan: Plan, looked_up: LookedUp, policy: ImagePolicy) -> None:
    """Raise BuildError if the plan needs an image that is not built, and cannot be.

    Nothing was changed then, and nobody was asked.
    """
    if not plan.builds or not policy.must_be_built:
        return
    if policy.builds:
        from reconciler.images.builder import find_builder

        find_builder(policy.builder, session.context.emit)
        return
    first = plan.builds[0]
    more = f", and {len(plan.builds) - 1} more" if len(plan.builds) > 1 else ""
    if error := looked_up.unsure.get(first.image):
        why = f"{error.message}; whether {first.context} is built as it is now is not known{more}"
    else:
        why = f"{first.context} is not built yet as it is now{more}"
    raise BuildError(why, hint=_HOW_TO_BUILD)
