"""The scenario of a card: its setup and traffic at the moment the machine crashed, or what firmware
leaves after power-on (`Scene`).

It is a pure function of profile, seed and scene, and the same on every machine. The silicon derives
its registers, tables and memories from it, so that they agree with each other. Each part draws from
its own stream of random numbers, so a new part changes no other.
"""

from vmcoredd.emu.scenario.scenario import Scenario, Scene

__all__ = ["Scenario", "Scene"]
