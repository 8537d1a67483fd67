"""Published ablations, and some that nobody has published: each file is a claim, a command and its table."""
