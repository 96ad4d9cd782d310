"""The command `vmcoredd`: its sub-commands, its output and its exit codes."""

if __name__ != "vmcoredd.cli":
    raise ImportError("import vmcoredd.cli, not cli")
