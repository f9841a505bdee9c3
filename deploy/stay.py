"""What `make run` leaves behind: a broker with a console, some mail in every state, and words on how to look at it.

Before this room: `demo`. After it: `sandbox`.
"""

import asyncio
import contextlib
import io
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from promises import EXAMPLES, DemoError, example
from sandbox import Sandbox

from valija import Client, age, keyring
from valija.connect import Endpoint
from valija.registry.console import Console
from valija.transport import Transport
from valija_schemas import api

passphrase: Final = "sandbox"  # noqa: S105 - of every keyring here, and it guards nothing
work_factor: Final = 10  #: So that opening one takes no time.
console_s: Final = 20.0  #: Until the console must be ready.
ROLES: Final = {
    "operator.a": "acts on queues; a hold and a discard need operator.b, too",
    "operator.b": "the second",
    "operator.observer": "looks at queues, and at no message",
    "operator.registrar": "publishes what officers signed",
    "operator.auditor": "looks at everything, and acts on nothing",
}


def write_operators(sandbox: Sandbox) -> None:
    """A keyring for everybody who works at the broker, as `valija-registry operator` would have made it."""
    for who, found in sandbox.exchange.operator_keyrings.items():
        path = keyring_path(sandbox, who)
        path.parent.mkdir(exist_ok=True)
        keyring.save(path, found, age.Passphrase(passphrase, work_factor))
    passphrase_path(sandbox).write_text(passphrase + "\n")
    passphrase_path(sandbox).chmod(0o600)


def keyring_path(sandbox: Sandbox, who: str) -> Path:
    """Where the keyring of `who` lies."""
    return sandbox.folder / "operators" / f"{who}.age"


def passphrase_path(sandbox: Sandbox) -> Path:
    """Where the passphrase of all of them lies."""
    return sandbox.folder / "operators" / "passphrase"


async def leave_mail(sandbox: Sandbox, story: Callable[[], Awaitable[None]], mexico: Client) -> None:
    """Mail in every state: what `story` sends and has answered, a request that waits, and one that died."""
    with contextlib.redirect_stdout(io.StringIO()):
        await story()
    request = example("information-request")
    for to in ("ca.liaison", "co.enlace"):
        await mexico.send(request, to, type="information-request/1")
    keys = sandbox.exchange.keyrings["co.enlace"]
    async with Transport(sandbox.url, lambda: keys.auth) as line:
        lent = await line.lease(api.LeaseRequest(instance="by-hand", have=(), limit=1, wait_ms=0))
        await line.release([api.Release(token=one.token, delay_ms=0, dead=True) for one in lent])


async def sign_in(sandbox: Sandbox, who: str) -> str:
    """A link to the console, which works once, within a minute.

    Raises:
        DemoError: the console did not get ready.
    """
    deadline = time.monotonic() + console_s
    while (await asyncio.to_thread(sandbox.get, "/readyz/console"))[0] != 200:
        if time.monotonic() > deadline:
            raise DemoError("the console did not get ready")
        await asyncio.sleep(0.05)
    signer = sandbox.exchange.operator_keyrings[who].operator
    async with Console(Endpoint(sandbox.console), sandbox.exchange.origin, signer) as console:
        return (await console.sign_in()).link


def say(sandbox: Sandbox, link: str, profile_of: Callable[[str], Path]) -> None:
    """How to use it."""
    bin_ = Path(sys.executable).parent
    print(f"A broker is at {sandbox.url}, health and metrics at http://127.0.0.1:{sandbox.metrics_port}.")
    print("\nIts console, where those who run it look and propose. To open it as operator.a, and to sign there:\n")
    print(f"  export PATH={bin_}:$PATH")
    command = f"valija-registry console {sandbox.console} --passphrase-file {passphrase_path(sandbox)}"
    print(f"  {command} --key {keyring_path(sandbox, 'operator.a')}")
    print(f"\nBeside {keyring_path(sandbox, 'operator.a')} lie the keyrings of the others:\n")
    for who, does in ROLES.items():
        print(f"  {who:<20} {does}")
    print(f"\nOr only to look, within the next minute, once: {link}")
    print("\nThe same in a terminal, and what only the broker's machine can do (deploy/RUNBOOK.md, section 9):\n")
    print(f"  export PATH={bin_}:$PATH; cd {sandbox.folder}")
    print("  valija-broker queues")
    print("  valija-broker dead groups")
    print("\nIn another terminal, as Mexico:\n")
    print(f"  export PATH={bin_}:$PATH VALIJA_CONFIG={profile_of('mx.enlace')}")
    print("  valija directory")
    print(f"  valija send {EXAMPLES}/information-request-1.json --type information-request/1 --to ca.liaison")
    print(f"\nand as Canada, with VALIJA_CONFIG={profile_of('ca.liaison')}:\n")
    print("  valija inbox --save received")
    print("\nCtrl-C ends it.", flush=True)


def wait() -> None:
    """Until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
