"""Parse the command line of `kinto`, and convert errors to one line and an exit code (operations.md 2.1)."""

import contextlib
import importlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from app.settings import SettingError, Settings, load
from app.version import KINTO_VERSION, VERSION
from backends import BackendError

log: Final = logging.getLogger("kinto.command")

FAILED: Final = 1
WRONG_USAGE: Final = 2
READONLY: Final = 51

_COMMANDS: Final = {
    "check": "Report contradictions in the database, and repair them.",
    "copy": "Copy all data to another storage.",
    "create-user": "Create an account, or change its password.",
    "dump": "Write all data as lines of JSON.",
    "flush-cache": "Empty the cache.",
    "index": "Build the indexes of large lists.",
    "init": "Write a first ini file.",
    "load": "Load what dump has written.",
    "migrate": "Create or upgrade the tables of the backends.",
    "purge-deleted": "Remove old tombstones.",
    "settings": "Print all settings, with those of the included plugins.",
    "start": "Serve the application.",
    "version": "Print the version.",
}
COMMON_CONTEXT: Final = {"help_option_names": ["-h", "--help"]}
_PLUGIN_COMMANDS: Final = "scripts.plugin_commands"
_INI: Final = "ini"
_LEVEL: Final = "level"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `kinto` with *arguments*, by default those of the process, and return its exit code (O-CLI-4)."""
    try:
        code = kinto.main(arguments, prog_name="kinto", standalone_mode=False)
    except click.UsageError as error:
        usage = error.ctx.get_usage() if error.ctx else kinto.get_usage(click.Context(kinto, info_name="kinto"))
        click.echo(usage.replace("Usage:", "usage:", 1), err=True)
        click.echo(f"error: {error.format_message()}", err=True)
        return WRONG_USAGE
    except click.Abort:
        click.echo("Aborted.", err=True)
        return FAILED
    except BackendError as error:
        # The message of a driver has several lines, and does not name the setting that caused it.
        setting = "" if error.original is None else "storage_url: "
        click.echo(f"{setting}{' '.join(str(error).split())}", err=True)
        return FAILED
    except (SettingError, OSError) as error:
        click.echo(str(error), err=True)
        return FAILED
    return int(code or 0)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Store an option that may precede or follow the command; the last one applies (O-CLI-2)."""
    if value is not None:
        context.meta[_INI if parameter.name == "ini" else _LEVEL] = value
    return value


def common_options() -> list[click.Parameter]:
    """Return the options of every command."""
    return [
        _option("--ini", metavar="FILE", is_eager=True, help="Ini file with the settings."),
        _option("-q", "--quiet", flag_value=logging.CRITICAL, type=int, help="Log critical errors only."),
        _option("-v", "--debug", flag_value=logging.DEBUG, type=int, help="Log everything."),
    ]


def _option(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, callback=_remember, expose_value=False, **attributes)


class Command(click.Command):
    """A command with the common options; while it runs, log lines are written to standard error."""

    def __init__(self, name: str, **attributes: Any) -> None:
        super().__init__(name, context_settings=COMMON_CONTEXT, **attributes)
        self.params.extend(common_options())

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with log_lines(level(ctx)):
            return super().invoke(ctx)


class _Kinto(click.Group):
    """The commands by name; the module of a command is loaded when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *_listed_commands_of_plugins(ctx)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that *args* begin with. The plugins are those of the ini file, which may follow the name."""
        if args and args[0] not in _COMMANDS:
            _common_options.make_context(None, args[1:], parent=ctx)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return _commands_of_plugins(ctx).get(cmd_name)
        command: click.Command = importlib.import_module(f"scripts.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        of_plugins = {name: command.get_short_help_str() for name, command in _listed_commands_of_plugins(ctx).items()}
        with formatter.section("Commands"):
            formatter.write_dl(list((_COMMANDS | of_plugins).items()))


def _commands_of_plugins(context: click.Context) -> Mapping[str, click.Command]:
    """Return the commands of the plugins that the settings include; none if the settings cannot be loaded.

    Raises SettingError for a plugin that cannot be loaded.
    """
    try:
        settings = load(ini=ini(context))
    except SettingError:
        return {}
    # It imports the application, which commands without plugins need not wait for.
    return importlib.import_module(_PLUGIN_COMMANDS).find_commands(settings, _COMMANDS) if settings.includes else {}


def _listed_commands_of_plugins(context: click.Context) -> Mapping[str, click.Command]:
    """Return the commands of plugins for the help, none if a plugin cannot be loaded: then the error is printed."""
    try:
        return _commands_of_plugins(context)
    except SettingError as error:
        click.echo(str(error), err=True)
        return {}


_common_options: Final = click.Command(
    "kinto",
    params=common_options(),
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": True},
)

kinto: Final = _Kinto(
    "kinto",
    params=common_options(),
    help="Run and maintain a Kinto server.",
    no_args_is_help=False,
    context_settings=COMMON_CONTEXT,
)
click.version_option(VERSION, message=f"%(version)s (Kinto {KINTO_VERSION})")(kinto)


def ini(context: click.Context) -> str | None:
    """Return the path from `--ini`, None without the option."""
    path: str | None = context.meta.get(_INI)
    return path


def level(context: click.Context) -> int:
    """Return the minimum level of log lines."""
    minimum: int = context.meta.get(_LEVEL, logging.INFO)
    return minimum


def settings_of(context: click.Context) -> Settings:
    """Load the settings for a command that needs the application. Raises SettingError."""
    settings = load(ini=ini(context))
    log.info("Running %s %s.", settings.project_name, settings.project_version)
    return settings


@contextlib.contextmanager
def log_lines(minimum_level: int) -> Iterator[None]:
    """Write log lines to standard error as `LEVEL  message` (O-CLI-3)."""
    root = logging.getLogger()
    former_level = root.level
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)-5.5s  %(message)s"))
    if minimum_level > logging.DEBUG:
        # Of libraries, only warnings and errors are shown.
        handler.addFilter(lambda record: record.name.startswith("kinto") or record.levelno >= logging.WARNING)
    root.addHandler(handler)
    root.setLevel(minimum_level)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(former_level)
