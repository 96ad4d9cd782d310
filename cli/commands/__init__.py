"""The sub-commands: each module has a function `register(app)`, which adds its command.

Commands import other rooms when they run, so each takes only the memory and time it needs.
"""
