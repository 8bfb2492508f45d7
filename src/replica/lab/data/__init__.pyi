from .digits import digits as digits
from .images import Images as Images
from .mnist import mnist as mnist
from .patterns import Patterns as Patterns
from .user_files import FORMATS as FORMATS
from .user_files import read_patterns as read_patterns

__all__ = ["FORMATS", "Images", "Patterns", "digits", "mnist", "read_patterns"]
