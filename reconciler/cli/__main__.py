"""`python -m reconciler.cli`: the command where no console script is installed."""

from reconciler.cli.main import main

main()
