"""The open laboratory for crash-time device dumps.

The rooms of the house are the subpackages: `chip`, `hw`, `cudbg`, `emu`, `driver`, `vmcore`,
`qemu`, `fleet`, `cli`. In the repository they are folders at the top; the links in this folder
make them parts of one package, under one name. `plural`, which all rooms use, is here.
"""
