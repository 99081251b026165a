"""The command table and the one place where errors become lines and exit codes."""

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer

from harness.cli.ablate import ablate
from harness.cli.cell import cell
from harness.cli.check_plugin import check_plugin
from harness.cli.choose import choose
from harness.cli.compare import compare
from harness.cli.data import data
from harness.cli.doctor import doctor
from harness.cli.examples import epilog
from harness.cli.export import export
from harness.cli.export_model import export_model
from harness.cli.history import history
from harness.cli.listing import describe, list_
from harness.cli.new import new
from harness.cli.plan import plan
from harness.cli.predict import predict
from harness.cli.report import report
from harness.cli.run import run as run_command
from harness.cli.runs import note, runs
from harness.cli.score import score
from harness.cli.watch import watch
from harness.errors import ExitCode, Interrupted, UserError

INTERRUPTED = 130
# typer raises click's classes, or since 0.26 its own copies of them
UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="harness",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich help costs twice the whole start
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(asked: bool) -> None:
    if asked:
        from harness import __version__

        print(f"harness {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version."),
    ] = False,
) -> None:
    """Benchmark small-object detectors part by part: AP, MACs and milliseconds."""


def report_errors(command: Callable[..., int | None]) -> Callable[..., int]:
    """A command whose user's mistakes and interruptions are one line and an exit code."""

    @wraps(command)
    def reporting(*args: Any, **kwargs: Any) -> int:
        try:
            return command(*args, **kwargs) or ExitCode.OK
        except (UserError, Interrupted) as error:
            return _say(error, error.exit_code)
        except KeyboardInterrupt:
            return _say("interrupted", INTERRUPTED)

    return reporting


def _say(message: object, code: int) -> int:
    print(f"harness: {message}", file=sys.stderr)
    return int(code)


# What --help lists of them, on one line of 80 characters.
_COMMANDS: dict[str, tuple[Callable[..., int | None], str]] = {
    "run": (run_command, "Train, evaluate and measure the detectors of a suite."),
    "plan": (plan, "Show what a run would do, with every parameter."),
    "watch": (watch, "Follow a run from its folder, on any machine."),
    "cell": (cell, "Run one cell of a run again, or on another machine."),
    "runs": (runs, "List runs, the latest first."),
    "note": (note, "Give a run a note and tags."),
    "report": (report, "Rewrite the page of a run."),
    "compare": (compare, "Compare runs, detectors or files of detections."),
    "choose": (choose, "Name the best detector of a run within limits."),
    "history": (history, "Follow a metric over runs."),
    "export": (export, "Write numbers and intervals of runs into one file."),
    "export-model": (export_model, "Write a detector as files of a runtime."),
    "score": (score, "Score files of detections against annotations."),
    "ablate": (ablate, "Write a suite of one detector's variants."),
    "data": (data, "Show object sizes and what anchors make of them."),
    "doctor": (doctor, "Check this machine, and a data set."),
    "predict": (predict, "Draw what a trained detector finds in images."),
    "list": (list_, "List what the plugins offer."),
    "describe": (describe, "Show a part's parameters, or a metric."),
    "new": (new, "Write the package of a plugin, to begin from."),
    "check-plugin": (check_plugin, "Try out every part of a plugin."),
}
for _name, (_command, _summary) in _COMMANDS.items():
    app.command(_name, short_help=_summary, epilog=epilog(_name))(report_errors(_command))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Anything unforeseen keeps its traceback."""
    try:
        return int(
            app(args=list(arguments), prog_name="harness", standalone_mode=False) or ExitCode.OK
        )
    except UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "harness"
        found = error.format_message()
        if found.startswith("Usage:"):  # nothing was asked for: the help is the answer
            print(found, file=sys.stderr)
            return int(ExitCode.BAD_INPUT)
        found = found.rstrip(".")
        return _say(f"{found} (see '{command} --help')", ExitCode.BAD_INPUT)
