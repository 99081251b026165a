"""The command table and the one place where errors become lines and exit codes."""

import sys
from collections.abc import Sequence

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


# typer brings its own copy of click's exceptions from some version on
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Anything unforeseen keeps its traceback."""
    try:
        code = app(args=list(arguments), standalone_mode=False)
        return int(code or ExitCode.OK)
    except UserError as error:
        print(f"harness: {error}", file=sys.stderr)
        return int(error.exit_code)
    except _UsageError as error:
        error.show()  # type: ignore[attr-defined]
        return int(ExitCode.BAD_INPUT)
    except typer.Abort as error:
        stop = error.__cause__  # KeyboardInterrupt, or the signal that `Interrupted` names
        print(f"harness: {stop or 'interrupted'}", file=sys.stderr)
        return int(getattr(stop, "exit_code", INTERRUPTED))
