"""What registry officers do, offline: say who is who, and sign it together.

Inside: `core` (what a root and a directory hold, and signatures on them), `entries` (what officers change), `admission`
(who may enter, and what nobody may sign), `folder` (the officers' files), `show` (what a person reads before signing),
`history` (all that was published, judged again), `cli` (the command `valija-registry`), and `sample` (a whole exchange
in one call, for tests and demonstrations). Nothing here opens a connection.

Before this room: requests that contact points make (`valija.enrol`). After it: the folder that the broker watches.
Rules: schemas/SPEC.md section 4.
"""
