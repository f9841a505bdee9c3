"""`python -m valija_broker` is `valija-broker`."""

from valija_broker.cli import main

main()
