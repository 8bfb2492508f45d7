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
from .events import EventSet as EventSet
from .event_files import read_events as read_events
from .delayed_coincidences import coincidence_scores as coincidence_scores
from .delayed_coincidences import delayed_coincidences as delayed_coincidences
from .latency_digits import latency_digits as latency_digits
from .level_crossings import level_crossings as level_crossings
from .level_crossings import mnist_1d_events as mnist_1d_events
from .saccades import saccade_digits as saccade_digits
from .saccades import saccade_events as saccade_events
from .saccades import saccade_mnist as saccade_mnist
from .traverses import PHOTOGRAPHS as PHOTOGRAPHS
from .traverses import Appearance as Appearance
from .traverses import Traverses as Traverses
from .traverses import traverses as traverses
from .user_files import FORMATS as FORMATS
from .user_files import read_patterns as read_patterns

__all__ = [
    "FORMATS",
    "LABELLED_FORMATS",
    "PHOTOGRAPHS",
    "SMALL_TABLES",
    "Appearance",
    "Characters",
    "EventSet",
    "FewShotStreams",
    "Images",
    "Labelled",
    "Patterns",
    "SolutionMap",
    "Streams",
    "Traverses",
    "burgers",
    "coincidence_scores",
    "darcy",
    "delayed_coincidences",
    "digits",
    "helmholtz",
    "latency_digits",
    "level_crossings",
    "mnist",
    "mnist_1d",
    "mnist_1d_events",
    "omniglot",
    "read_events",
    "read_labelled",
    "read_patterns",
    "read_solution_map",
    "saccade_digits",
    "saccade_events",
    "saccade_mnist",
    "shakespeare",
    "small_table",
    "traverses",
    "with_rotations",
]
