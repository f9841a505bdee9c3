"""A broker in memory, for the tests of programs that use this client: no network, no store, one process.

    broker = MemoryBroker(sample_exchange())
    async with broker.client("mx.enlace", folder) as sender: ...

It keeps the rules that a client can see: it verifies what it accepts, answers a repeat with the first answer, lends
and lends again, takes receipts, lets mail expire, and keeps a feed and a log. `MemoryLine.faults` breaks calls on
purpose, before or after they took effect. It keeps nothing on disk, has no quotas, and proves nothing to anybody else.

The promise: a program that works with this broker finds the same answers at a real one; tests/contract runs one suite
over both.

Before this room: tests. After it: `valija.registry.sample`, which makes the exchange. Rules: SPEC.md section 3.3.
"""

from valija.testing.broker import MemoryBroker, config_for
from valija.testing.line import Fault, MemoryLine

__all__ = ["Fault", "MemoryBroker", "MemoryLine", "config_for"]
