"""Tests: published clients of Kinto, unmodified."""
