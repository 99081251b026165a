"""The command table and the one place where errors become lines and exit codes."""

import sys
from collections.abc import Sequence

import click
import typer

from harness.cli.doctor import doctor
from harness.cli.listing import describe, list_
from harness.cli.plan import plan
from harness.cli.predict import predict
from harness.cli.run import run as run_command
from harness.cli.score import score
from harness.errors import ExitCode, UserError

INTERRUPTED = 130

app = typer.Typer(
    name="harness",
    help="Benchmark small-object detectors part by part: AP, multiply-adds and milliseconds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run_command)
app.command("plan")(plan)
app.command("list")(list_)
app.command("describe")(describe)
app.command("score")(score)
app.command("predict")(predict)
app.command("doctor")(doctor)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Anything unforeseen keeps its traceback."""
    try:
        code = app(args=list(arguments), standalone_mode=False)
        return int(code or ExitCode.OK)
    except UserError as error:
        print(f"harness: {error}", file=sys.stderr)
        return int(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return int(ExitCode.BAD_INPUT)
    except click.ClickException as error:
        error.show()
        return int(ExitCode.BAD_INPUT)
    except (KeyboardInterrupt, click.exceptions.Abort):
        print("harness: interrupted", file=sys.stderr)
        return INTERRUPTED
