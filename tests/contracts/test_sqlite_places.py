"""Where the embedded database may be, and that nothing of it lands elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.factory import create_app
from app.settings import SettingError
from tests.databases import BASICAUTH


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:x?mode=memory&cache=shared&uri=true",
        "sqlite:///file:x",
        "sqlite:///x?mode=memory",
    ],
)
def test_a_database_in_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A file of that name would be made in the current folder; `storage_backend = memory` is what is meant."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SettingError, match="storage_url"):
        create_app({**BASICAUTH, "kinto.storage_url": url})

    assert list(tmp_path.iterdir()) == []


def test_a_database_of_the_process_leaves_nothing_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    app = create_app({**BASICAUTH, "kinto.storage_backend": "memory"})
    file = Path(app.extensions["kinto"].storage.writing.url.database)
    app.extensions["kinto"].close()

    assert list(tmp_path.iterdir()) == []
    assert file.parent.stat().st_mode & 0o077 == 0
