"""`python -m valija` is `valija`."""

from valija.cli import main

main()
