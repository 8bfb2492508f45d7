"""Generative models: paths from noise to data, denoisers and samplers. The stub beside this file is its contents."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
