"""The scenario of a card: its setup and traffic at the moment the machine crashed.

It is a pure function of profile and seed, and the same on every machine. The silicon derives its
registers, tables and memories from it, so that they agree with each other. Each part draws from its
own stream of random numbers, so a new part changes no other.
"""

from vmcoredd.emu.scenario.scenario import Scenario

__all__ = ["Scenario"]
