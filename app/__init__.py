"""The rules: what may be done, by which identity, and when. They know neither HTTP nor SQL."""

import importlib


def __getattr__(name: str) -> object:
    """Return the application to servers whose service file names `app:application`, as Kinto's do (O-DEP-2)."""
    if name != "application":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    application: object = importlib.import_module("app.factory").create_app()
    globals()[name] = application
    return application
