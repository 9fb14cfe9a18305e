"""The command line: one verb per file, and a verb's file is imported only when it is named or listed."""

from importlib import import_module

import click

VERBS = ("bench", "check", "demo-upstream", "doctor", "keys", "serve", "streams", "tokens", "usage", "worker")


class Verbs(click.Group):
    """Finds a verb's `command` in the module of its name. Exit status: 0 done, 1 it failed, 2 wrong call."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"{__name__}.{cmd_name.replace('-', '_')}").command
        return command


@click.command(cls=Verbs)
def main() -> None:
    """The relay you put between a browser and an LLM."""
