"""A task that nobody else knows: after every bit, whether the bits so far are odd or even in number of ones."""
