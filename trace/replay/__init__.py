"""Plays one side of a trace to the other: the driver's to a server, or the adapter's to a driver.

| file | content |
|---|---|
| `driver_side.py` | plays the driver to a server: accesses, memory, resets, requests |
| `adapter_side.py` | serves the recorded answers to a driver |
| `ahead.py` | records with those that come soon: what a poll is to end with, what DMA will need |
| `memory.py` | the client's memory: what the card is to read there, what it should have written |
| `interrupts.py` | which vectors came |
| `report.py` | what differed, decoded, and what was compared |
"""
