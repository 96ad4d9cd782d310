"""What was accessed, decoded: recording, the recorded form, events, filters, formats.

| file | content |
|---|---|
| `ring.h`, `ring.c` | fixed-size records, and the ring that a card puts them into |
| `ring.py`, `records.py` | the same for Python: a ring's memory, and records with their bytes |
| `archive.py` | the recorded form, a file of NumPy arrays (.npz): writer and reader |
| `recorder.py` | the thread that takes records out of a ring and writes them |
| `events.py`, `mailbox.py` | records as events: registers, fields, windows, commands and replies |
| `folding.py`, `filters.py` | runs and loops as one event; events by block, register and kind |
| `comparing.py` | what two drivers do alike: polls as one step, words that may differ |
| `text.py`, `jsonlines.py`, `perfetto.py` | events for people and for programs |

A card records in C and waits for nothing; all else happens in another thread or afterwards.
"""

if __name__ != "vmcoredd.trace":
    raise ImportError("import vmcoredd.trace, not trace")
