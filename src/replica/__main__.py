"""``python -m replica`` is ``replica``."""

from replica.lab.cli import main

main()
