"""What is measured, how, and the plots: `vmcoredd bench`. Every figure is a ratio of one run."""

if __name__ != "vmcoredd.bench":
    raise ImportError("import vmcoredd.bench, not bench")
