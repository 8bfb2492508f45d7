"""Teachers: structures that are known, from which examples are drawn."""
