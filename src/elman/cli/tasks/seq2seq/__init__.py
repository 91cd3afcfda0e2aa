"""Sequence to sequence on the command line."""
