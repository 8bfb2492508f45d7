"""Studies: what is run for a claim. Arenas (a problem with fixed settings) and the standard figures."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
