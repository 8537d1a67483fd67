"""One file a method, each read from top to bottom and run by `python -m experiments.NAME`."""

import sys

from jaxgan import signals

if sys.argv[:1] == ["-m"]:  # as long as `python -m` looks for the module
    signals.early()
