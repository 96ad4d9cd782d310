"""The one consistent state of a card, from its profile and seed.

Registers, tables and memories are derived from it, so that they agree with each other. Every part
draws from its own stream of random numbers, so adding one part changes no other; the same profile
and seed give the same bytes on any machine.
"""

from vmcoredd.emu.scenario.scenario import Scenario

__all__ = ["Scenario"]
