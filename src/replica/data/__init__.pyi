from .sets.digits import digits as digits
from .sets.images import Images as Images
from .sets.mnist import mnist as mnist
from .sets.cifar10 import cifar10 as cifar10
from .sets.few_shot_streams import FewShotStreams as FewShotStreams
from .sets.few_shot_streams import Streams as Streams
from .sets.few_shot_streams import with_rotations as with_rotations
from .sets.omniglot import Characters as Characters
from .sets.omniglot import omniglot as omniglot
from .sets.shakespeare import shakespeare as shakespeare
from .sets.languages_mixture import LanguagesMixture as LanguagesMixture
from .sets.languages_mixture import inferno as inferno
from .sets.languages_mixture import languages_mixture as languages_mixture
from .sets.state_machine import StateMachine as StateMachine
from .sets.patterns import Patterns as Patterns
from .sets.labelled import Labelled as Labelled
from .files.labelled import LABELLED_FORMATS as LABELLED_FORMATS
from .files.labelled import read_labelled as read_labelled
from .sets.regression_tables import REGRESSION_TABLES as REGRESSION_TABLES
from .sets.regression_tables import regression_table as regression_table
from .sets.regression_rows import RegressionRows as RegressionRows
from .files.regression import REGRESSION_FORMATS as REGRESSION_FORMATS
from .files.regression import read_regression as read_regression
from .sets.uci_tables import UCI_TABLES as UCI_TABLES
from .sets.uci_tables import uci_table as uci_table
from .sets.electricity_choices import ElectricityChoices as ElectricityChoices
from .sets.electricity_choices import electricity_choices as electricity_choices
from .sets.mnist_1d import mnist_1d as mnist_1d
from .sets.small_tables import SMALL_TABLES as SMALL_TABLES
from .sets.small_tables import small_table as small_table
from .sets.point_clouds import POINT_CLOUDS as POINT_CLOUDS
from .sets.point_clouds import PointCloud as PointCloud
from .sets.point_clouds import point_cloud as point_cloud
from .sets.seeds import split_seed as split_seed
from .sets.snapshots import SNAPSHOTS as SNAPSHOTS
from .sets.snapshots import snapshots as snapshots
from .sets.solution_maps import SolutionMap as SolutionMap
from .sets.darcy_flow import darcy as darcy
from .sets.helmholtz_equation import helmholtz as helmholtz
from .sets.burgers_equation import burgers as burgers
from .files.solution_maps import read_solution_map as read_solution_map
from .sets.events import EventSet as EventSet
from .files.events import read_events as read_events
from .sets.delayed_coincidences import coincidence_scores as coincidence_scores
from .sets.delayed_coincidences import delayed_coincidences as delayed_coincidences
from .sets.latency_digits import latency_digits as latency_digits
from .sets.level_crossings import level_crossings as level_crossings
from .sets.level_crossings import mnist_1d_events as mnist_1d_events
from .sets.saccades import saccade_digits as saccade_digits
from .sets.saccades import saccade_events as saccade_events
from .sets.saccades import saccade_mnist as saccade_mnist
from .sets.traverses import PHOTOGRAPHS as PHOTOGRAPHS
from .sets.traverses import Appearance as Appearance
from .sets.traverses import Traverses as Traverses
from .sets.traverses import traverses as traverses
from .sets.coloured_digits import ColouredDigits as ColouredDigits
from .sets.coloured_digits import coloured_digits as coloured_digits
from .files.patterns import FORMATS as FORMATS
from .files.patterns import read_patterns as read_patterns

__all__ = [
    "FORMATS",
    "LABELLED_FORMATS",
    "PHOTOGRAPHS",
    "POINT_CLOUDS",
    "REGRESSION_FORMATS",
    "REGRESSION_TABLES",
    "SMALL_TABLES",
    "SNAPSHOTS",
    "UCI_TABLES",
    "Appearance",
    "Characters",
    "ColouredDigits",
    "ElectricityChoices",
    "EventSet",
    "FewShotStreams",
    "Images",
    "Labelled",
    "LanguagesMixture",
    "Patterns",
    "PointCloud",
    "RegressionRows",
    "SolutionMap",
    "StateMachine",
    "Streams",
    "Traverses",
    "burgers",
    "cifar10",
    "coincidence_scores",
    "coloured_digits",
    "darcy",
    "delayed_coincidences",
    "digits",
    "electricity_choices",
    "helmholtz",
    "inferno",
    "languages_mixture",
    "latency_digits",
    "level_crossings",
    "mnist",
    "mnist_1d",
    "mnist_1d_events",
    "omniglot",
    "point_cloud",
    "read_events",
    "read_labelled",
    "read_patterns",
    "read_regression",
    "read_solution_map",
    "regression_table",
    "saccade_digits",
    "saccade_events",
    "saccade_mnist",
    "shakespeare",
    "small_table",
    "snapshots",
    "split_seed",
    "traverses",
    "uci_table",
    "with_rotations",
]
