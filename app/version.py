"""The version of this service, and the version of Kinto that it replaces."""

VERSION = "1.8.0"
KINTO_VERSION = "26.5.0"
