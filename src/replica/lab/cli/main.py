"""`replica`: the commands put together, and mistakes told in one line."""

from __future__ import annotations

import io
import os
import sys
from typing import NoReturn

import typer

from replica.errors import Interrupted, ReplicaError
from replica.lab.catalogue.printable import printable

from . import compare, doctor, papers, problems, show, verify

# Typer brings its own copy of Click from 0.27 on; its exceptions are reached through the public one derived from them.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]
ClickException: type[Exception] = typer.BadParameter.__mro__[2]

LONGEST_WORD, LONGEST_LINE = 200, 2000

app = typer.Typer(
    name="replica",
    help="Papers you can run: compare methods on your data, test what papers claim.\n\n"
    "The main job: [bold]replica compare recall[/bold]",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("compare", cls=compare.CompareCommand, epilog=compare.EXAMPLES, context_settings=compare.CONTEXT)(
    compare.compare
)
app.command("verify", epilog=verify.EXAMPLES)(verify.verify)
app.command("papers", epilog=papers.EXAMPLES)(papers.papers)
app.command("show", epilog=show.EXAMPLES)(show.show)
app.command("problems", epilog=problems.EXAMPLES)(problems.problems)
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        from replica import __version__

        print(f"replica {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line. Exit code 0: done; 1: a trial failed; 2: wrong use or wrong input; 130: stopped by Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter gets a question mark
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except UsageError as error:
        context = getattr(error, "ctx", None)
        if not sys.argv[1:] and context is not None:
            print(context.get_help())
            sys.exit(0)
        message = _message(error)
        end = "" if message.endswith((".", "?")) else "."
        _fail(f"{message}{end} See {context.command_path if context else 'replica'} --help.")
    except (ClickException, ReplicaError) as error:
        _fail(_message(error))
    except BrokenPipeError:
        # The reader of a pipe (head, less) is gone; Python must not complain of it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (Interrupted, KeyboardInterrupt, typer.Abort) as stop:
        print(str(stop) or "Stopped.", file=sys.stderr)
        sys.exit(130)


def _message(error: Exception) -> str:
    format_message = getattr(error, "format_message", None)
    return str(format_message() if format_message else error)


def _fail(message: str) -> NoReturn:
    """Tell it in one line, and not more of it than people read: what came may be long, or no text at all."""
    words = [word if len(word) <= LONGEST_WORD else f"{word[:60]}…{word[-30:]}" for word in message.split()]
    print(f"replica: {printable(' '.join(words), LONGEST_LINE)}", file=sys.stderr)
    sys.exit(2)
