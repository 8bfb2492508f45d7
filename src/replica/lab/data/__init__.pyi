from .digits import digits as digits
from .images import Images as Images
from .mnist import mnist as mnist
from .patterns import Patterns as Patterns
from .solution_maps import SolutionMap as SolutionMap
from .darcy_flow import darcy as darcy
from .helmholtz_equation import helmholtz as helmholtz
from .burgers_equation import burgers as burgers
from .solution_map_files import read_solution_map as read_solution_map
from .user_files import FORMATS as FORMATS
from .user_files import read_patterns as read_patterns

__all__ = [
    "FORMATS",
    "Images",
    "Patterns",
    "SolutionMap",
    "burgers",
    "darcy",
    "digits",
    "helmholtz",
    "mnist",
    "read_patterns",
    "read_solution_map",
]
