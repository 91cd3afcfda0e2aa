"""Language models on the command line: lines of text."""
