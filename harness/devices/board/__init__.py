"""A board or server that is reached through ssh: what it is, how it is, and the way there."""
