"""`repzone version`: which repzone this is."""

import sys

from repzone import __version__
from repzone.cli.options import Output, OutputOption
from repzone.cli.output import print_json


def version(output: OutputOption = Output.human) -> None:
    """Say which repzone this is.

    Example: repzone version -o json
    """
    if output is Output.json:
        print_json({"version": __version__, "python": sys.version.split()[0]})
    else:
        print(f"repzone {__version__}")
