from .digits import digits as digits
from .images import Images as Images
from .mnist import mnist as mnist
from .few_shot_streams import FewShotStreams as FewShotStreams
from .few_shot_streams import Streams as Streams
from .few_shot_streams import with_rotations as with_rotations
from .omniglot import Characters as Characters
from .omniglot import omniglot as omniglot
from .shakespeare import shakespeare as shakespeare
from .patterns import Patterns as Patterns
from .labelled import Labelled as Labelled
from .labelled_files import LABELLED_FORMATS as LABELLED_FORMATS
from .labelled_files import read_labelled as read_labelled
from .mnist_1d import mnist_1d as mnist_1d
from .small_tables import SMALL_TABLES as SMALL_TABLES
from .small_tables import small_table as small_table
from .solution_maps import SolutionMap as SolutionMap
from .darcy_flow import darcy as darcy
from .helmholtz_equation import helmholtz as helmholtz
from .burgers_equation import burgers as burgers
from .solution_map_files import read_solution_map as read_solution_map
from .user_files import FORMATS as FORMATS
from .user_files import read_patterns as read_patterns

__all__ = [
    "FORMATS",
    "LABELLED_FORMATS",
    "SMALL_TABLES",
    "Characters",
    "FewShotStreams",
    "Images",
    "Labelled",
    "Patterns",
    "SolutionMap",
    "Streams",
    "burgers",
    "darcy",
    "digits",
    "helmholtz",
    "mnist",
    "mnist_1d",
    "omniglot",
    "read_labelled",
    "read_patterns",
    "read_solution_map",
    "shakespeare",
    "small_table",
    "with_rotations",
]
