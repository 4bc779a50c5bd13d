"""`python -m reconciler.cli`: the command, for where no console script is installed."""

from reconciler.cli.main import main

main()
