"""Lawful trade: who sends controlled goods to whom."""

from valija_schemas.documents import codes
from valija_schemas.documents.base import Block
from valija_schemas.documents.blocks.people import Address


class Trader(Block, frozen=True, kw_only=True):
    """An exporter, importer or consignee (UN 1988 art. 12(10)(a)(i))."""

    name: codes.Name  #: As registered.
    address: Address  #: Its seat.
    licence: codes.Reference | None = None  #: Of its authorisation or registration.
    phone: codes.Phone | None = None  #: E.164.
    email: codes.Email | None = None  #: An address that it uses.
