"""The format of dumps: lines of JSON that people can read, and the checks by which nothing in them is trusted."""
