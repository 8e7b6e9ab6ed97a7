"""The `kinto` command: each subcommand is a module of this folder that is loaded when it is called."""

from scripts.command import main

__all__ = ["main"]
