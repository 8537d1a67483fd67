"""One file a method, each read from top to bottom and run by `python -m experiments.NAME`."""
