"""Data: real data sets and readers of the user's own files. The stub beside this file is the contents."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
