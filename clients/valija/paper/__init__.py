"""Documents on paper: how a person writes one, checks one and reads one, in their language.

A document in transit is JSON with codes; nobody but this room turns it into words. `language` translates, `fields` of
`valija_schemas.documents` says what a form asks.

Before this room: `valija.cli`. After it: `valija_schemas.documents`.
"""
