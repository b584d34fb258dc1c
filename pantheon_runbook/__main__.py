"""`python -m pantheon_runbook` is the command line."""

from pantheon_runbook.cli import main

main()
