"""`harness` on the command line. One file per command; heavy imports wait until one runs."""

import sys

from harness.stages.collecting import collect_seldom


def main() -> None:
    """Entry point: runs the command, prints a user's error as one line, exits with its code."""
    collect_seldom()
    try:
        from harness.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before or after the command's own care: while it is imported
        print("harness: interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
