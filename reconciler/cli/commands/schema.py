"""`reconciler schema NAME`: the JSON Schema of the spec, or of a document."""

from pathlib import Path

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.options import Text, shared_options

_ENDING = ".schema.json"


@click.command("schema")
@click.argument("name", required=False, type=Text())
@shared_options
def command(name: str | None, **_values: object) -> None:
    """Print the JSON Schema of this name; without one, list the names.

    `spec` is that of machines.yaml, `event` of a line of --events, the others of what `-o json` prints.
    """
    found = {path.name.removesuffix(_ENDING): path for path in _folder().glob(f"*{_ENDING}")}
    if name is None:
        console.print_text("\n".join(sorted(found)), is_safe=True)
    elif name in found:
        console.print_text(found[name].read_text(encoding="utf-8").rstrip("\n"), is_safe=True)
    else:
        raise click.BadParameter(f"there is no schema {name!r}: {', '.join(sorted(found))}", param_hint="NAME")


def _folder() -> Path:
    """Return where the schemas are: in the wheel, or at the top of a checkout."""
    package = Path(__file__).parents[2]
    packaged = package / "schemas"
    return packaged if packaged.is_dir() else package.parent / "schemas"
