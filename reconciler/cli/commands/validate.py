"""`reconciler validate`: show the spec's errors, or what it declares. Offline."""

import click
from msgspec.structs import replace

from reconciler.cli.ui import console
from reconciler.cli.ui.completing import completes
from reconciler.cli.ui.options import Shared, shared, shared_options
from reconciler.cli.ui.session import load_spec, source_of
from reconciler.errors import SpecError
from reconciler.model.counted import counted
from reconciler.model.spec import Diagnostic, Place
from reconciler.operations.spec_files import overlaid_by


@click.command("validate")
@click.argument("files", metavar="[FILE]...", nargs=-1, shell_complete=completes("file"))
@shared_options
def command(files: tuple[str, ...], **_values: object) -> int:
    """Check the spec, or each FILE, offline.

    Ends 0 if all are valid, or 1 with every error.
    """
    options = shared()
    if files and (options.file or options.overlays):
        raise click.UsageError("name the specs with -f or as arguments, not both")
    if len(files) > 1 and options.is_json:
        raise click.UsageError("-o json shows one spec at a time")
    return max(_validate(replace(options, file=file)) for file in files or (options.file,))


def _validate(options: Shared) -> int:
    try:
        spec = load_spec(options)
    except SpecError as error:
        _show_errors(error, options)
        return 1
    slots = sum(len(pool.slots) for pool in spec.pools)
    top = Place(file=spec.file, line=1, column=1)
    warnings = (*spec.unlisted_regions.values(), *(Diagnostic(place=top, message=said) for said in spec.warnings))
    if options.is_json:
        from reconciler.render.diagnostics import diagnostics_json

        console.print_json(
            {
                "valid": True,
                "errors": [],
                "warnings": diagnostics_json(warnings),
                "stack": spec.stack,
                "environment": spec.environment,
                "apps": len(spec.apps),
                "pools": len(spec.pools),
                "machines": slots,
            }
        )
        return 0
    _show_warnings(warnings)
    apps, pools = counted(len(spec.apps), "app"), counted(len(spec.pools), "pool")
    console.print_lines(
        f"{' with '.join((spec.file, *spec.overlays))} is valid: {apps}, {pools}, {counted(slots, 'machine')}."
    )
    return 0


def _show_warnings(warnings: tuple[Diagnostic, ...]) -> None:
    if warnings:
        from reconciler.render.diagnostics import warning_text

        for warning in warnings:
            click.echo(warning_text(warning, width=console.error_width()), err=True)


def _show_errors(error: SpecError, options: Shared) -> None:
    from reconciler.cli.ui.annotations import annotate_diagnostics
    from reconciler.render.diagnostics import diagnostics_json, diagnostics_text

    annotate_diagnostics(error.diagnostics)
    if options.is_json:
        console.print_json({"valid": False, "errors": diagnostics_json(error.diagnostics), "more_errors": error.more})
    else:
        click.echo(diagnostics_text(error.diagnostics, more=error.more, width=console.error_width()), err=True)
    if found := overlaid_by(source_of(options)):
        console.say(f"{options.file} lies over {found[0]}: check both with --environment {found[1]}")
