"""``crossway``, also as ``python -m gateway``."""

from gateway.cli.app import app


def main() -> None:
    """Run the command line and exit with its code."""
    app(prog_name="crossway")


if __name__ == "__main__":
    main()
