"""Empty the cache (operations contract, 2.7)."""

import click

from app.factory import create_service
from app.settings import convert_errors
from scripts.command import Command, log, settings_of


@click.command("flush-cache", cls=Command)
@click.pass_context
def command(context: click.Context) -> None:
    """Empty the cache: with a cache_prefix only its own keys, but memcached as a whole."""
    service = create_service(settings_of(context))
    with convert_errors("cache_url", "the cache cannot be emptied", [service.settings.cache_url]):
        service.cache.flush()
    log.info("Cache has been cleared.")
