"""`python -m vmcoredd`: the command, without an installed script."""

from vmcoredd.cli.main import main

main()
