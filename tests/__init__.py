"""Test the service: rules, contracts of the backends, API, plugins."""
