"""Load the settings of one application, typed and validated (operations contract, section 1)."""

from app.settings.aliases import import_name
from app.settings.databases import is_same_database, locate_storage
from app.settings.loading import is_declared, load
from app.settings.policies_and_listeners import ListenerSettings, PolicySettings
from app.settings.settings import Settings
from app.settings.sources import MissingFile
from app.settings.values import SettingError, convert_errors

__all__ = [
    "ListenerSettings",
    "MissingFile",
    "PolicySettings",
    "SettingError",
    "Settings",
    "convert_errors",
    "import_name",
    "is_declared",
    "is_same_database",
    "load",
    "locate_storage",
]
