"""Models behind HTTP: what waits together is answered as one ragged batch, and sessions follow a text as it comes."""
