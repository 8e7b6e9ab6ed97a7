"""Say which version this is, and which Kinto it stands in for."""

VERSION = "1.2.0"
KINTO_VERSION = "26.5.0"
