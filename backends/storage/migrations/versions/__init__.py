"""The steps from an empty database to the current tables, one file each, in the order of their names."""
