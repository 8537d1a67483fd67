"""`jaxgan`, and `python -m jaxgan`."""

from jaxgan import signals


def main() -> None:
    """The command `jaxgan`. Before all else, a signal ends it by a line."""
    signals.early()
    from jaxgan import cli

    cli.main()


if __name__ == "__main__":
    main()
