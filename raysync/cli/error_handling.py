"""The only place that turns an error into a sentence and an exit code."""

from __future__ import annotations

import errno
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from raysync.cli.output.console import print_line, say
from raysync.cli.output.invocation import as_invoked
from raysync.cli.output.streams import ReaderGoneError, StdoutError, guarded_streams
from raysync.cli.output.words import printable
from raysync.errors import RaysyncError
from raysync.logs import escape_last_resort
from raysync.reasons import MORE_OPEN_FILES, reason_of
from raysync.visible import visible, visible_line

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_READER_GONE = 141
"""Exit code that a shell shows for a program ended by SIGPIPE: 128 + 13."""

_HELP = "NoArgsIsHelpError"
"""Name of the error for a command line without a command. Its message is the help page."""


class RaysyncGroup(TyperGroup):
    """Root group of all commands, which handles their errors."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run a command line and exit with its code, even if its output is lost."""
        with guarded_streams(say):
            try:
                return super().main(*arguments, **options)
            except ReaderGoneError:
                sys.exit(EXIT_READER_GONE)
            except StdoutError as error:
                say(str(error))
                sys.exit(EXIT_FAILED)

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Parse the command line. An error quotes it without terminal commands."""
        try:
            return super().make_context(*arguments, **options)
        except typer.TyperException as error:
            raise _escaped(error) from None

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Print an error that it raises on purpose as a sentence."""
        debug = bool(ctx.params.get("debug"))
        escape_last_resort()
        try:
            return super().invoke(ctx)
        except StdoutError:
            raise
        except RaysyncError as error:
            raise self._end(printable(str(error)), error, debug, error.exit_code) from None
        except KeyboardInterrupt as error:
            raise self._end("Interrupted.", error, debug, EXIT_INTERRUPTED) from None
        except typer.BadParameter as error:
            _use_plain_message(error)
            raise _escaped(error) from None
        except typer.TyperException as error:
            raise _escaped(error) from None
        except (typer.Exit, typer.Abort, SystemExit):
            raise
        except Exception as error:  # noqa: BLE001 the outermost handler: a user sees a sentence
            raise self._end(_unexpected(error, debug), error, debug, EXIT_FAILED) from None

    @staticmethod
    def _end(sentence: str, error: BaseException, debug: bool, code: int) -> typer.Exit:
        if debug:
            print_line("".join(traceback.format_exception(error)).rstrip(), err=True)
        say(sentence)
        return typer.Exit(code)


def _escaped(error: typer.TyperException) -> typer.TyperException:
    """Escape terminal commands in an error: an attacker may have prepared what it quotes."""
    is_help = type(error).__name__ == _HELP
    for name, text in vars(error).items():
        if isinstance(text, str):
            setattr(error, name, visible(text) if is_help else visible_line(as_invoked(text)))
    return error


def _use_plain_message(error: typer.BadParameter) -> None:
    """Replace pydantic's message, which is for programmers, by a sentence for the user."""
    from pydantic import ValidationError

    from raysync.settings import problem_of

    if isinstance(error.__cause__, ValidationError):
        error.message = f"{printable(problem_of(error.__cause__)).rstrip('.')}."


def _unexpected(error: Exception, debug: bool) -> str:
    sentence = f"Unexpected {type(error).__name__}: {printable(reason_of(error))}"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return f"{sentence}. {MORE_OPEN_FILES}"
    if debug:
        return sentence
    return f"{sentence}\nRun it again as `raysync --debug …` to see where it happened."
