"""`python -m valija` is the command `valija`."""

from valija.cli import main

main()
