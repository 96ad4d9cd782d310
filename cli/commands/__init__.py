"""One module per sub-command, named as it is. Each has `register(app)`.

Rooms are imported inside the commands, so that each costs only the memory and the time it needs.
"""
