"""Run the files of `deploy/` with the servers that they are written for."""
