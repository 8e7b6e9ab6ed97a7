"""Find rows that contradict each other, and repair them (`kinto check`)."""
