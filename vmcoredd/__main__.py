"""`python -m vmcoredd`: the command, without an installed script."""

from vmcoredd.cli.start import main

main()
