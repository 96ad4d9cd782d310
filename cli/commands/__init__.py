"""Each sub-command is a module of its name with a function `register(app)`.

Commands import other rooms when they run, so each spends only the memory and time it needs.
"""
