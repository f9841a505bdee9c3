"""Receive requests into a table of your own, each exactly once, however often this is interrupted."""

from valija.sync import Client

with Client.from_env() as valija:
    for message in valija.inbox("information-request/1"):
        with message, message.transaction() as db:  # a clean exit acknowledges, an exception gives it back
            db.execute("CREATE TABLE IF NOT EXISTS requests (sender TEXT, reference TEXT, document BLOB)")
            row = (message.sender, message.document.case.reference, message.json)
            db.execute("INSERT INTO requests VALUES (?, ?, ?)", row)
            print(message.id, message.sender, message.document.case.reference)
