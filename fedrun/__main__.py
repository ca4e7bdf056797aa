"""`python -m fedrun` is the same program as `fedrun`."""

from fedrun.cli.app import main

main()
