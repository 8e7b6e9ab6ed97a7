"""Run operations in transactions: the only package of the rules that writes."""
