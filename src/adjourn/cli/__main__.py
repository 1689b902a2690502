"""`python -m adjourn.cli`: the same as the `adjourn` command."""

from adjourn.cli import main

main()
