"""Words for the person at the terminal, on stderr."""

from __future__ import annotations

import os
import sys


def say(line: str) -> None:
    """Write one line to stderr, without what would steer a terminal, if somebody still reads it."""
    from drmviz.report.wording import clean

    try:
        print(f"drmviz: {clean(line)}", file=sys.stderr, flush=True)
    except OSError:  # a reader like `head` went away; nothing more can be said, also not when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
