"""`reconciler schema [NAME]`: the JSON Schema of the spec, or of a document."""

from pathlib import Path

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.completing import completes
from reconciler.cli.ui.options import shared_options
from reconciler.cli.ui.values import Text

_ENDING = ".schema.json"


@click.command("schema")
@click.argument("name", default="spec", type=Text(), shell_complete=completes("schemas"))
@click.option("--list", "is_list", is_flag=True, help="List the names.")
@shared_options
def command(name: str, is_list: bool, **_values: object) -> None:
    """Print the JSON Schema of machines.yaml, or of the document of this NAME.

    `spec` is that of machines.yaml, and the default; `overlay` is that of a file that lies over it, `event` that of a
    line of --events. The others are of what `-o json` prints; --list lists them all.
    """
    if is_list:
        console.print_text("\n".join(schema_names()), is_safe=True)
    elif name in schema_names():
        text = (_folder() / f"{name}{_ENDING}").read_text(encoding="utf-8")
        console.print_text(text.rstrip("\n"), is_safe=True)
    else:
        raise click.BadParameter(f"there is no schema {name!r}: {', '.join(schema_names())}", param_hint="NAME")


def schema_names() -> list[str]:
    """Return the names of the schemas, in order."""
    return sorted(path.name.removesuffix(_ENDING) for path in _folder().glob(f"*{_ENDING}"))


def _folder() -> Path:
    """Return where the schemas are: in the wheel, or at the top of a checkout."""
    package = Path(__file__).parents[2]
    packaged = package / "schemas"
    return packaged if packaged.is_dir() else package.parent / "schemas"
