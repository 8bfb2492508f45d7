from . import memory as memory, training as training
from .lab.api import compare as compare, find as find, verify as verify

__version__: str
