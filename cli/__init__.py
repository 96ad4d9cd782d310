"""The command `vmcoredd`, and all that is printed for people."""

if __name__ != "vmcoredd.cli":
    raise ImportError("import vmcoredd.cli, not cli")
