from . import memory as memory, training as training
from .lab.catalogue.search import find as find
from .lab.report.comparison import compare as compare
from .lab.runner.verify import verify as verify

__version__: str
