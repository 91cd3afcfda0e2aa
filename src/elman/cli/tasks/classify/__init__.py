"""Classification on the command line: texts with labels."""
