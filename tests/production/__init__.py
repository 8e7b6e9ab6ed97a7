"""Run what docs/production.md tells operators to do."""
