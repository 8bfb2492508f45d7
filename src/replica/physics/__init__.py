"""Physics: networks that learn the solution maps of differential equations. The stub beside this file is its contents."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
