"""The steps from no table to the current table of quotas, in the order of their names."""
