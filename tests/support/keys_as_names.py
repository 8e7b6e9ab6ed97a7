"""A cache class in the shape of Flask-Caching that keeps each value in a file of the name of its key."""

from __future__ import annotations

from pathlib import Path


class KeysAsNames:
    """The cache of one folder."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    @classmethod
    def factory(cls, app: object, config: dict[str, str], args: list[str], kwargs: dict[str, int]) -> KeysAsNames:
        """Make the cache, as Flask-Caching does."""
        return cls(config["CACHE_DIR"])

    def get(self, key: str) -> str | None:
        """Return a value."""
        file = self.folder / key
        return file.read_text() if file.exists() else None

    def set(self, key: str, value: str, timeout: int | None = None) -> bool:
        """Keep a value."""
        (self.folder / key).write_text(value)
        return True

    def delete(self, key: str) -> bool:
        """Remove a value."""
        (self.folder / key).unlink()
        return True
