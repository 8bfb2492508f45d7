"""Replica: papers you can run.

`replica.compare`, `replica.verify`, `replica.find`, and one package a wing (`replica.memory`, …). Nothing heavy is imported
before it is used.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
