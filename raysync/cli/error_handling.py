"""The one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import errno
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from raysync.cli.output.console import say, tell
from raysync.cli.output.streams import ReaderGoneError, StdoutError, guarded_streams
from raysync.cli.output.words import printable
from raysync.errors import RaysyncError
from raysync.logs import show_what_others_wrote
from raysync.reasons import MORE_OPEN_FILES, reason_of
from raysync.visible import visible, visible_line

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_READER_GONE = 141
"""What a shell shows of a program that SIGPIPE ended: 128 + 13."""

_HELP = "NoArgsIsHelpError"
"""What is raised where nothing was asked for: its message is the help, line by line."""


class RaysyncGroup(TyperGroup):
    """The root of the commands."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run a command line to its exit code, whatever becomes of what it prints."""
        with guarded_streams(say):
            try:
                return super().main(*arguments, **options)
            except ReaderGoneError:
                sys.exit(EXIT_READER_GONE)
            except StdoutError as error:
                say(str(error))
                sys.exit(EXIT_FAILED)

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the command line; what is quoted of it in an error commands no terminal."""
        try:
            return super().make_context(*arguments, **options)
        except typer.TyperException as error:
            raise _harmless(error) from None

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what it raises on purpose is told in a sentence."""
        debug = bool(ctx.params.get("debug"))
        show_what_others_wrote()
        try:
            return super().invoke(ctx)
        except StdoutError:
            raise
        except RaysyncError as error:
            raise self._end(printable(str(error)), error, debug, error.exit_code) from None
        except KeyboardInterrupt as error:
            raise self._end("Interrupted.", error, debug, EXIT_INTERRUPTED) from None
        except typer.BadParameter as error:
            _put_into_words(error)
            raise _harmless(error) from None
        except typer.TyperException as error:
            raise _harmless(error) from None
        except (typer.Exit, typer.Abort, SystemExit):
            raise
        except Exception as error:  # noqa: BLE001 the outermost: a user sees a sentence
            raise self._end(_unexpected(error, debug), error, debug, EXIT_FAILED) from None

    @staticmethod
    def _end(sentence: str, error: BaseException, debug: bool, code: int) -> typer.Exit:
        if debug:
            tell("".join(traceback.format_exception(error)).rstrip(), err=True)
        say(sentence)
        return typer.Exit(code)


def _harmless(error: typer.TyperException) -> typer.TyperException:
    """The same error: it quotes a command line or a variable, which somebody may have prepared."""
    is_help = type(error).__name__ == _HELP
    for name, text in vars(error).items():
        if isinstance(text, str):
            setattr(error, name, visible(text) if is_help else visible_line(text))
    return error


def _put_into_words(error: typer.BadParameter) -> None:
    """Typer has pydantic read values, and repeats what that says, which is for programmers."""
    from pydantic import ValidationError

    from raysync.settings import objection

    if isinstance(error.__cause__, ValidationError):
        error.message = f"{printable(objection(error.__cause__)).rstrip('.')}."


def _unexpected(error: Exception, debug: bool) -> str:
    told = f"Unexpected {type(error).__name__}: {printable(reason_of(error))}"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return f"{told}. {MORE_OPEN_FILES}"
    return told if debug else f"{told}\nRun it again as `raysync --debug …` to see where."
