"""The rules, one file per block. `diagnosis.rule` shows how a rule is written, and
`diagnosis.causes` how a table of bits is. A new rule is found by itself; a new file is named here.
"""

ORDER = (
    "pl",
    "memory",
    "ma",
    "pcie",
    "cim",
    "firmware",
    "back_pressure",
    "sge",
    "queues",
    "tp",
    "offload",
    "ports",
    "device_log",
    "mailbox",
    "meminfo",
    "entities",
    "management",
)
"""The files. Of findings that are equally bad, and none the cause of another, the first file's come
first: whether the card is there, its memories and bus, its firmware, then the ways of the data."""
