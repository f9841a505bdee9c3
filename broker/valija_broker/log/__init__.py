"""The transparency log: what happened goes in, in order and for good, and proofs come out.

Each leaf is 33 bytes that tell nobody anything; who was given the opening of one can show, offline and to anybody, that
the broker stated it and when. The formats, and all checking, are in `valija_schemas` (`leaf`, `merkle`, `tiles`,
`checkpoint`, `witness`, `tlog_proof`). SPEC.md section 5.3.
"""
