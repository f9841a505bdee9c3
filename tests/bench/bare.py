"""The floor of the broker's handler: aiohttp, one verification, one digest, one signature, and nothing else.

    python -m bench.bare PORT PUBLIC-KEY

No rules, no directory, no store: what the broker adds to this is what it may be asked about.
"""

import hashlib
import sys

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from valija_schemas import note as notes


def app(public: Ed25519PublicKey) -> web.Application:
    key = Ed25519PrivateKey.generate()

    async def submit(request: web.Request) -> web.Response:
        data = await request.read()
        note, body = notes.split(data)
        public.verify(note.signatures[0].value, note.text)
        digest = hashlib.sha256(body).hexdigest()
        promise = note.text + digest.encode()  # about as long as an acceptance
        return web.Response(status=202, body=promise + key.sign(promise), content_type="application/octet-stream")

    made = web.Application(client_max_size=2 << 20)
    made.add_routes([web.post("/v1/messages", submit)])
    return made


def main(arguments: list[str]) -> None:
    port, public = arguments
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    web.run_app(app(key), host="127.0.0.1", port=int(port), access_log=None, print=None)


if __name__ == "__main__":
    main(sys.argv[1:])
