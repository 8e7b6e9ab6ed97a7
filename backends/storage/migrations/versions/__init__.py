"""Hold the steps from an empty database to the present tables, one file each, in the order of their names."""
