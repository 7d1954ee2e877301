"""`python -m drmviz` is the `drmviz` command."""

from __future__ import annotations

from drmviz.cli import main

if __name__ == "__main__":
    main()
