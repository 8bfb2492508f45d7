"""Spiking: neurons that send spikes, and the networks made of them. The stub beside this file is its table of contents."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
