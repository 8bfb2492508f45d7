"""What went wrong, in one line that says what to do."""


class ReplicaError(Exception):
    """A mistake in the use of Replica, or in what it was given: one line for the user; the command exits with 2."""


class Interrupted(Exception):
    """The user stopped a run by Ctrl-C; what is finished is stored. The message says how to go on; the command exits with 130."""
