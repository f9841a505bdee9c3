"""How fast it is, how much it takes, and on what machine: `make bench`. Nothing here is asserted in a test."""
