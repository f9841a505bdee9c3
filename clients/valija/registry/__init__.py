"""What registry officers do, offline: say who is who, and sign it together.

Inside: `core` (what a root and a directory hold, and signatures on them), `admission` (who may enter), `folder` (the
officers' files), `show` (what a person reads before signing), `cli` (the command `valija-registry`), and `sample` (a
whole exchange in one call, for tests and demonstrations). Nothing here opens a connection.

Before this room: requests that contact points make (`valija.enrol`). After it: the folder that the broker watches.
Rules: schemas/SPEC.md section 4.
"""
