"""How software reaches a Chelsio adapter: registers and what is behind them, over any `Io`."""

if __name__ != "vmcoredd.hw":
    raise ImportError("import vmcoredd.hw, not hw")
