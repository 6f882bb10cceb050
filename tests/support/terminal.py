"""A terminal that remembers what was written to it."""

import io


class Terminal(io.StringIO):
    """A stream for ``sys.stderr``; progress bars are only shown on a terminal."""

    def isatty(self) -> bool:
        return True
