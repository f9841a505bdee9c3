"""Send a request. Run it again: nothing is sent twice, and the answer is the same."""

import json
import sys
from pathlib import Path

from valija.sync import Client

request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
with Client.from_env() as valija:
    sent = valija.send(request, sys.argv[2], type="information-request/1", key=request["case"]["reference"])
    sent = valija.wait(sent, until="accepted", timeout=60)
    print(sent.id, sent.state)
