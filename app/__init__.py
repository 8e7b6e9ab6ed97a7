"""Hold the rules: what may be done, by whom, when. They know neither HTTP nor SQL."""
