"""The vectors of schemas/vectors: their shape, the generator, our own verdict on each. `make vectors` writes them.

`shape` reads a vector file and refuses whatever it does not know. `field` is one exchange with fixed keys, `made`
builds the cases from it, one module a file, and `judge` gives every case to the decoders that broker and clients use.
"""
