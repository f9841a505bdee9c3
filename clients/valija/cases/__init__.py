"""Threads and cases: what was said between us and others, what is still open, and what may be done with it.

Outbox and inbox keep the sealed messages. This room reads them again and says, of each thread, which case it is
about, who owes whom an answer, and until when. `index` keeps what a list needs, so that nothing is opened twice;
`place` says which messages belong into a thread, `course` where it stands, `exchange` what was said in it; `handling`
says what may be passed on, to whom, and `consents` keeps what somebody allowed.

The promise: no content lies in clear on the disk, and what the index says can be made again from outbox and inbox.

Before this room: `client`, `cli`. After it: `seal`, `database`. Rules: schemas/SPEC.md sections 1.3 and 1.5.
"""
