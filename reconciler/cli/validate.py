"""`reconciler validate`: the spec's errors, all at once, or what it declares. Offline."""

import click

from reconciler.cli import console, spec_file
from reconciler.cli.annotate import annotate_spec
from reconciler.cli.options import shared, shared_options
from reconciler.errors import SpecError


@click.command("validate")
@shared_options
def command(**_values: object) -> int:
    """Check the spec, offline. Ends 0 where it is valid, 1 with every error where it is not."""
    options = shared()
    try:
        spec = spec_file.load(options)
    except SpecError as error:
        if not options.is_json:
            raise
        annotate_spec(error)
        from reconciler.render.diagnostics import diagnostics_json

        console.print_json({"valid": False, "errors": diagnostics_json(error.diagnostics)})
        return 1
    slots = sum(len(pool.slots) for pool in spec.pools)
    if options.is_json:
        console.print_json(
            {
                "valid": True,
                "errors": [],
                "stack": spec.stack,
                "apps": len(spec.apps),
                "pools": len(spec.pools),
                "machines": slots,
            }
        )
        return 0
    apps, pools = _counted(len(spec.apps), "app"), _counted(len(spec.pools), "pool")
    console.print_text(f"{spec.file} is valid: {apps}, {pools}, {_counted(slots, 'machine')}.")
    return 0


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
