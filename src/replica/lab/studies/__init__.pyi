from .arena import Arena as Arena
from .arena import Comparison as Comparison
from .figures import against as against
from .figures import dots as dots
from .figures import lines as lines
from .figures import spread as spread

__all__ = ["Arena", "Comparison", "against", "dots", "lines", "spread"]
