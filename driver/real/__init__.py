"""Real adapters: Chelsio functions on this machine's PCI bus, reached without their driver.

`functions` finds them in sysfs and says what can be done with each; `sysfs` and `vfio` are
transports. Nothing is written to an adapter but what a dump needs, and what had to be changed for
it is put back.
"""
