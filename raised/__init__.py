"""A card raised from its dump: an emulated card whose registers, tables and memories hold what the
dump says.

    raised = raise_card(cudbg.Dump(payload))
    with raised.open() as adapter: ...          # dumps it again: the same bytes

Every entity has the inverse of its collector here (`inverses/`), which stores the entity's words
where the collector reads them. What a dump holds of the driver, and not of the card, is kept beside
it (`host.py`).
"""

if __name__ != "vmcoredd.raised":
    raise ImportError("import vmcoredd.raised, not raised")

from vmcoredd.raised.card import RaisedCard, raise_card
from vmcoredd.raised.errors import NotRaisable
from vmcoredd.raised.lacking import Lack
from vmcoredd.raised.twin import Twins, twins_of

__all__ = ["Lack", "NotRaisable", "RaisedCard", "Twins", "raise_card", "twins_of"]
