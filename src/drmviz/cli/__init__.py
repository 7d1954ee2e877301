"""The `drmviz` command: one file per verb, every error one line with its exit code."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

from drmviz import __version__
from drmviz.cli import backup, cost, decisions, demo, doctor, draw, follow, report, run, runs, serve, tests, watch
from drmviz.cli.saying import say
from drmviz.errors import DRMVizError

app = typer.Typer(
    name="drmviz",
    help="See how a fleet of test workers was used, why it grew or shrank, and what was wasted.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", context_settings={"allow_interspersed_args": False})(run.run)
app.command("watch")(watch.watch)
app.command("demo")(demo.demo)
app.command("draw")(draw.draw)
app.command("report")(report.report)
app.command("serve")(serve.serve)
app.command("tests")(tests.tests)
app.command("decisions")(decisions.decisions)
app.command("runs")(runs.runs)
app.add_typer(cost.app, name="cost")
app.command("doctor")(doctor.doctor)
app.command("backup")(backup.backup)
app.command("follow", hidden=True)(follow.follow)


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _everywhere(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _open_what_is_closed() -> None:
    """Give a standard stream that was closed before us somewhere to go, or the next file opened would be it."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  it lives as long as we do


def main() -> None:
    """Run the command line; the entry point of the `drmviz` script."""
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name may hold what this terminal cannot show
    try:
        app()
    except DRMVizError as error:
        say(str(error))
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk behind stdout, a folder that went away
        say(f"{error.strerror or error}. Nothing more could be done.")
        sys.exit(1)
