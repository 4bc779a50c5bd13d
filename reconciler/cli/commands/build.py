"""`reconciler build`: build and push the spec's images that are not there yet."""

from typing import TYPE_CHECKING

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.options import Shared, builder_option, push_to_option, shared, shared_options
from reconciler.cli.ui.session import load_spec, open_session, resolve
from reconciler.cli.ui.signals import run_async
from reconciler.model.spec import Spec
from reconciler.operations.load import pushed_to
from reconciler.targets import Target

if TYPE_CHECKING:
    from reconciler.images.builds import BuiltImage


@click.command("build")
@builder_option
@push_to_option
@shared_options
def command(builder: str | None, push_to: str | None, **_values: object) -> int:
    """Build and push the images that the spec declares with `build`.

    Each image is tagged by the digest of its context's content. What the registry has already is not built again. No
    machine is changed: the next apply takes the new images. If the local engine runs containers, the images stay with
    its container engine, and are pushed only with --push-to. Ends 0, or 1 with the last lines of the builder.
    """
    options = shared()
    spec, target = pushed_to(load_spec(options), push_to), resolve(options)
    from reconciler.operations.scope import scope_of
    from reconciler.render.scope import scope_line, scope_members

    scope = scope_of(spec, target)
    if not options.is_json:
        console.print_lines(scope_line(scope))
    built = run_async(_build(options, spec, target, builder=builder, push_to=push_to))
    if options.is_json:
        console.print_json(
            {
                "stack": spec.stack,
                **scope_members(scope),
                "images": [
                    {
                        "image": one.image,
                        "content": one.content,
                        "digest": one.digest,
                        "built": not one.was_there,
                    }
                    for one in built
                ],
            }
        )
        return 0
    is_kept = target.container_host is not None and not push_to
    for one in built:
        what = "there already" if one.was_there else "built" if is_kept else "built and pushed"
        console.print_lines(f"{one.content}: {what}, {one.digest}")
    if not built:
        console.print_lines("No image of the spec is built: each is named with `image`.")
    return 0


async def _build(
    options: Shared, spec: Spec, target: Target, *, builder: str | None, push_to: str | None
) -> "tuple[BuiltImage, ...]":
    from reconciler.operations.images import build_images

    async with open_session(options, target, console.say) as session:
        return await build_images(session, spec, selection=options.selection, builder=builder, push_to=push_to)
