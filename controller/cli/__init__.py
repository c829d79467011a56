"""The `moorage` command."""

from controller.cli.app import app


def main() -> None:
    """Entry point of the console script."""
    app()
