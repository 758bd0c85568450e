"""The one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from raysync.cli.console import say, tell
from raysync.cli.words import printable
from raysync.errors import RaysyncError
from raysync.logs import show_what_others_wrote
from raysync.visible import visible, visible_line

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
_HELP = "NoArgsIsHelpError"
"""What is raised where nothing was asked for: its message is the help, line by line."""


class RaysyncGroup(TyperGroup):
    """The root of the commands."""

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
            result = super().invoke(ctx)
            sys.stdout.flush()
        except RaysyncError as error:
            raise self._end(printable(str(error)), error, debug, error.exit_code) from None
        except KeyboardInterrupt as error:
            raise self._end("Interrupted.", error, debug, EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            _discard_stdout()
            raise typer.Exit(EXIT_FAILED) from None
        except typer.BadParameter as error:
            _put_into_words(error)
            raise _harmless(error) from None
        except typer.TyperException as error:
            raise _harmless(error) from None
        except (typer.Exit, typer.Abort, SystemExit):
            raise
        except Exception as error:  # noqa: BLE001 the outermost: a user sees a sentence
            raise self._end(_unexpected(error, debug), error, debug, EXIT_FAILED) from None
        return result

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
    # the first line alone: what follows in a database's error may be what somebody wrote
    said = printable(str(error).strip().partition("\n")[0])
    told = f"Unexpected {type(error).__name__}: {said}"
    return told if debug else f"{told}\nRun it again as `raysync --debug …` to see where."


def _discard_stdout() -> None:
    """Whoever read our output has gone: let the interpreter's last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
