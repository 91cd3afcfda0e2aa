"""Figures: each a pure function from arrays to a `Figure`, and a row in FIGURES; `figure(name)` gives the function."""
