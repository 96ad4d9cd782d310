"""The pytest plugin: emulated cards as fixtures. docs/how-to/testing.md shows how to use it.

pytest loads `plugin` in every run, so that module imports nothing of ours before a test asks for
it. `marks` reads the marks, `needs` says what this machine lacks, `guests` boots, and `seen` tells
what a card saw.
"""

if __name__ != "vmcoredd.testing":
    raise ImportError("import vmcoredd.testing, not testing")
