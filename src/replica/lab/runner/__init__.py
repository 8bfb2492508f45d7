"""The runner: where trials run, where their results are kept, and how far they are."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
