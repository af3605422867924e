"""Standard output that says what became of it: a full disk is an error with a name, a reader that went away is none."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from click.exceptions import Exit

from tallystick.errors import TallystickError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class OutputFailed(TallystickError):
    """Standard output cannot be written. What the command did before stays done; let its output go elsewhere."""

    code = "output"
    exit_code = 3
    default_hint = "what was done stays done; run it again with its output going elsewhere"


class StandardOutput(io.FileIO):
    """The file descriptor of standard output. Its first failure is told, and everything after that goes nowhere."""

    over = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write. Raises OutputFailed; a reader that went away (``| head``) has what it wanted, and ends the command."""
        if self.over:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as problem:
            self.over = True
            if isinstance(problem, BrokenPipeError):
                raise Exit(0) from None
            why = os.strerror(problem.errno or 0)
            raise OutputFailed(f"standard output cannot be written: {why}") from problem


def install() -> None:
    """Let everything that this process prints go through a ``StandardOutput``, unless it began without any output."""
    before = sys.stdout
    if isinstance(before, io.TextIOWrapper):
        raw = StandardOutput(before.fileno(), "w", closefd=False)
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=before.encoding,
            errors=before.errors,
            line_buffering=before.line_buffering,
            write_through=before.write_through,
        )


def flushed(code: int) -> int:
    """Write what waits to be; gives the exit code of a command that came to ``code`` before."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # it was closed before we began
                stream.flush()
        except Exit:
            pass
        except OutputFailed as problem:
            print(f"tallystick: {problem}", file=sys.stderr)
            code = code or problem.exit_code
        except OSError:
            pass  # there is nowhere left to say it
    return code
