"""`harness` on the command line. One file a command; heavy imports wait until one runs."""

import sys


def main() -> None:
    """Entry point: runs the command, prints a user's error as one line, exits with its code."""
    from harness.cli.app import run

    sys.exit(run(sys.argv[1:]))
