"""`reconciler completion SHELL`: the script that completes words in this shell."""

import click

from reconciler.cli.ui import console
from reconciler.cli.ui.options import shared_options


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared_options
def command(shell: str, **_values: object) -> None:
    """Print the script that completes words in SHELL.

    It completes verbs, options and their values, and from the spec apps, pools, tasks and regions. Run ids are asked
    of the target, for a second at most.

    bash 4.4 or newer: eval "$(reconciler completion bash)" in ~/.bashrc. zsh: the same with zsh in ~/.zshrc, after
    compinit. fish: reconciler completion fish > ~/.config/fish/completions/reconciler.fish
    """
    from click.shell_completion import ShellComplete, get_completion_class

    from reconciler.cli.ui.completion import PROGRAM, VARIABLE

    script_of = get_completion_class(shell)
    assert script_of is not None  # click has these three
    root = click.get_current_context().find_root().command
    # Not the method of its own class: that of bash runs bash to ask which version it is.
    script = ShellComplete.source(script_of(root, {}, PROGRAM, VARIABLE))
    console.print_text(script.rstrip("\n"), is_safe=True)
