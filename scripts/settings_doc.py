"""Write docs/settings.md from the declarations of the settings: `python -m scripts.settings_doc`."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from app.settings.catalogue import GROUPS
from app.settings.fields import Declaration, declarations
from app.settings.patterns import DOCUMENTATION
from scripts.ini_file import default_text

PATH: Final = Path(__file__).parents[1] / "docs" / "settings.md"

_HEAD: Final = """\
# Settings

This page is written by `python -m scripts.settings_doc` from the declarations in `app/settings/catalogue.py`.

The value of a setting comes from the first of these sources that has it: an environment variable, the file `.env` of
the working folder, the section `[app:main]` of the ini file, the default. The ini file is the one that `--ini` or
`KINTO_INI` names, else `config/kinto.ini`; without an ini file the service uses the environment and the defaults.

In a file every name may be written with or without `kinto.`; if both are set to different values, the service does not
start. The variable of a setting is its name in capitals with `_` in place of `.` and `-`, with or without `KINTO_`. The
variable with `KINTO_` overrides the one without: `KINTO_PAGINATE_BY` overrides `PAGINATE_BY`. An empty variable counts
as set.

Values: for a bool, `true yes on 1 t y` in any case are true, any other value is false. The words of a list are
separated by white space, not by commas. Text is used unchanged, without the quotes around it. In a file write `%%` for
`%`; `%(here)s` is the folder of the file, `%(__file__)s` the file, and `%(http_port)s` the port of `kinto start`.

An invalid value prevents the start: the service logs one line that begins with the name of the setting, and exits with
code 1. An unknown name is logged as a warning.

`kinto --ini FILE settings` prints this page and the settings of the plugins that the file includes; with `--plugins`,
only these.
"""

_PLATFORM: Final = """\
## Variables of platforms

The settings that they replace override them.

| variable | meaning |
|---|---|
| `DATABASE_URL` | `storage_url`; without `storage_backend` also the backend; also `cache_url` of a PostgreSQL cache |
| `REDIS_URL` | `cache_url`; without `cache_backend` the cache is Redis |
| `PORT` | port of `kinto start` and of gunicorn |
| `WEB_CONCURRENCY` | number of gunicorn workers |
| `SENTRY_DSN`, `SENTRY_ENV`, `STATSD_URL` | the settings with these names, as all variables without `KINTO_` |
| `KINTO_INI` | the ini file |
| `KINTO_ADMIN_PASSWORD` | password for `kinto create-user`, and of administrators that `migrate` and `init` create |
| `PROMETHEUS_MULTIPROC_DIR` | folder in which the workers share their Prometheus metrics |
"""

_ROW: Final = "| setting | variable | default | type | meaning |\n|---|---|---|---|---|"


def render() -> str:
    """Return the text of the page."""
    lines = [_HEAD]
    for title, group in GROUPS:
        lines += [*render_table(title, (declared for _, declared in declarations(group))), ""]
    return "\n".join([*lines, *_patterns(), "", _PLATFORM])


def render_table(title: str, declared: Iterable[Declaration]) -> Iterator[str]:
    """Yield the lines of a section with a table of settings."""
    yield f"## {title}\n"
    yield _ROW
    for declaration in declared:
        value = default_text(declaration)
        default = declaration.documented_default or (f"`{value}`" if value else "none")
        names = ", ".join(f"`{name}`" for name in (declaration.name, *declaration.aliases))
        yield f"| {names} | `{declaration.variable}` | {default} | {declaration.type} | {declaration.meaning} |"


def _patterns() -> Iterator[str]:
    yield "## Settings whose name is a pattern\n"
    yield "| setting | default | type | meaning |\n|---|---|---|---|"
    for names, kind, default, meaning in DOCUMENTATION:
        pattern = ", ".join(f"`{name}`" for name in names.split(", "))
        yield f"| {pattern} | {default or 'none'} | {kind} | {meaning} |"


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(render(), encoding="utf-8")
