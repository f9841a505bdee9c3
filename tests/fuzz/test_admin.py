"""Schemathesis against a running console: from its published document, requests of who may and of who may not.

No answer may be a failure, and each must be one that the document declares. Afterwards the broker's log must hold
nothing unexpected, which the fixture `sandbox` looks for.
"""

import http.client
import json
import os
import time
from urllib.parse import quote, urlencode

import pytest
import schemathesis
from at_console import wait_for_console
from declared_answers import ADMIN
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.core import NOT_SET
from schemathesis.transport.serialization import Binary

from valija_broker import openapi_admin
from valija_schemas import api, session
from valija_schemas import note as notes

EXAMPLES = int(os.environ.get("VALIJA_FUZZ_EXAMPLES", "15"))
ROUTES = openapi_admin.described().table.routes
#: Somebody for each role; `operator.b` ends the sessions, so that those of the others last.
WHO = {role: f"operator.{role}" for role in ("observer", "registrar", "auditor")} | {"operator": "operator.a"}

schemathesis.openapi.media_type(api.NOTE_TYPE, st.binary(max_size=4_096))
document = schemathesis.openapi.from_dict(ADMIN.document)


class Desk:
    """Signs in, and sends what is made up."""

    def __init__(self, sandbox):
        wait_for_console(sandbox)
        self.sandbox = sandbox
        self.tokens = {}

    def ask(self, method, target, body=b"", fields=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.sandbox.console_port, timeout=60)
        try:
            connection.request(method, target, body, dict(fields))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def token(self, who):
        while who not in self.tokens:
            drawn = json.loads(self.ask("GET", "/admin/v1/challenge")[2])
            value = session.SignIn(
                operator=who, address=self.sandbox.console, challenge=drawn["challenge"], time=drawn["time"]
            )
            text = session.text(drawn["origin"], value)
            note = notes.sign(text, [self.sandbox.exchange.operator_keyrings[who].operator])
            status, _, body = self.ask("POST", "/admin/v1/sessions", note, {"Content-Type": api.NOTE_TYPE})
            if status == 429:  # the notes that were made up have used up this second
                time.sleep(0.2)
                continue
            assert status == 201, body
            self.tokens[who] = json.loads(body)["token"]
        return self.tokens[who]


@pytest.fixture(scope="module")
def desk(sandbox):
    return Desk(sandbox)


def pack(value):
    """A body as bytes, whatever was made for one."""
    if value is NOT_SET or value is None:
        return b""
    if isinstance(value, Binary | bytes):
        return getattr(value, "data", value)
    return json.dumps(value).encode("utf-8", "replace")


@document.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_is_declared(case, desk):
    route = ROUTES[case.operation.definition.raw["operationId"]]
    query = urlencode(case.query, doseq=True, errors="replace") if case.query else ""
    target = quote(case.formatted_path, safe="/%") + ("?" + query if query else "")
    body = pack(case.body)
    fields = {"Content-Type": case.media_type} if case.media_type else {}
    for who in [*sorted(WHO[role] for role in route.roles)[:1], *sorted(WHO[r] for r in WHO.keys() - route.roles)[:1]]:
        if route.roles:
            leaves = route.name == "sign_out" and "operator.b"
            fields["Authorization"] = f"Bearer {desk.token(leaves or who)}"
            desk.tokens.pop(leaves, None)
        status, headers, answered = desk.ask(case.method, target, body, fields)
        assert status < 500, (case.method, target, body[:200], status)
        if case.method in {"GET", "POST", "DELETE"}:
            ADMIN.check(case.method, target, status, headers, answered)
        else:
            assert status in {400, 405}
