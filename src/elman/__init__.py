"""elman: recurrent sequence models of text. Write the equation, get everything."""

__version__ = "0.1.0"
