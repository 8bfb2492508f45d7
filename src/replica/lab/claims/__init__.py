"""Claims: what makes a sentence a tested one. Trials, measures, intervals, bounds, verdicts, the form of a paper file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
