"""Write docs/settings.md from the declarations of the settings: `python -m scripts.settings_doc`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from app.settings.catalogue import GROUPS
from app.settings.fields import declarations
from app.settings.patterns import DOCUMENTATION
from scripts.ini_file import shown

PATH: Final = Path(__file__).parents[1] / "docs" / "settings.md"

_HEAD: Final = """\
# Settings

This page is written by `python -m scripts.settings_doc` from the declarations in `app/settings/catalogue.py`.

A value comes from, strongest first: an environment variable, the file `.env` of the working folder, the section
`[app:main]` of the ini file, the default. The file is the one that `--ini` or `KINTO_INI` names, else
`config/kinto.ini`; without any the service runs on environment and defaults.

In a file every name may be written with or without `kinto.`; both with different values stop the start. The variable of
a setting is its name in capitals with `_` in place of `.` and `-`. It is read with and without `KINTO_`, and with it
wins: `KINTO_PAGINATE_BY` over `PAGINATE_BY`. An empty variable counts as given.

Values: of a bool `true yes on 1 t y` in any case are true, all else is false. A list is split at white space; a comma
separates nothing. Text is taken as it is, without the quotes around it. In a file `%` is doubled, `%(here)s` is its
folder and `%(http_port)s` the port of `kinto start`.

A value that cannot be stops the start with one line that begins with the name of the setting, and exit code 1. A name
that nobody knows is warned of.
"""

_PLATFORM: Final = """\
## Variables of platforms

They are weaker than the settings that they stand for.

| variable | meaning |
|---|---|
| `DATABASE_URL` | `storage_url`; without `storage_backend` it chooses both; also `cache_url` of a PostgreSQL cache |
| `REDIS_URL` | `cache_url`; without `cache_backend` Redis becomes the cache |
| `PORT` | port of `kinto start` and of gunicorn |
| `WEB_CONCURRENCY` | number of gunicorn workers |
| `SENTRY_DSN`, `SENTRY_ENV`, `STATSD_URL` | the settings of these names, as every variable without `KINTO_` |
| `KINTO_INI` | the ini file |
| `KINTO_ADMIN_PASSWORD` | password for `kinto create-user`, and of administrators that `migrate` and `init` make |
| `PROMETHEUS_MULTIPROC_DIR` | folder in which the workers' Prometheus metrics meet |
"""

_ROW: Final = "| setting | variable | default | type | meaning |\n|---|---|---|---|---|"


def render() -> str:
    """Return the page."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    for title, group in GROUPS:
        yield f"## {title}\n"
        yield _ROW
        for _, each in declarations(group):
            default = each.shown or (f"`{shown(each)}`" if shown(each) else "none")
            names = ", ".join(f"`{name}`" for name in (each.name, *each.aliases))
            yield f"| {names} | `{each.variable}` | {default} | {each.type} | {each.meaning} |"
        yield ""
    yield "## Settings whose name is a pattern\n"
    yield "| setting | default | type | meaning |\n|---|---|---|---|"
    for names, kind, default, meaning in DOCUMENTATION:
        pattern = ", ".join(f"`{name}`" for name in names.split(", "))
        yield f"| {pattern} | {default or 'none'} | {kind} | {meaning} |"
    yield ""
    yield _PLATFORM


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(render(), encoding="utf-8")
