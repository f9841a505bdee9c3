"""How fast it is, how much it takes, and on what machine: `make bench`. No test asserts a figure of these.

`figures` collects and writes, `machine` says what it ran on, `field` is a broker under load, `load` the process that
makes the load. The other files hold the benchmarks, one function each.
"""
