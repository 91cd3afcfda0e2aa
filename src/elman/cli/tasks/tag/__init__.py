"""Tagging on the command line: words with tags."""
