"""`python -m repzone`."""

from repzone.cli.main import main

main()
