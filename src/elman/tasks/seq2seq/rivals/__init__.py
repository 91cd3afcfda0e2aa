"""The rivals of the recurrent network."""
