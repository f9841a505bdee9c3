"""What crosses the wire and what proves that it did: formats and their checks.

Nothing here opens a file, a socket or a sealed document, and nothing here looks at a clock: bytes and a time
come in, a value or a verdict goes out. Clients and broker both stand on this room, and it imports neither.
The rules for strangers are in schemas/SPEC.md; each module names the section that it keeps.
"""
