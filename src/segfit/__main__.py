"""Lets ``python -m segfit`` (and so torchrun) run the command line."""

from segfit.cli import main

main()
