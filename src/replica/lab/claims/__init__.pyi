# What a paper file uses
from .paper import Claim as Claim, Entry as Entry, Paper as Paper
from .trial import SCALES as SCALES, Scale as Scale, Trial as Trial
from .measures import Proportion as Proportion
from .learning_curves import Needed as Needed, exponent as exponent, samples_needed as samples_needed
from .spaces import Choice as Choice, Integer as Integer, LogUniform as LogUniform, Uniform as Uniform

# What it is held to
from .registration import (
    Registration as Registration,
    Reported as Reported,
    Setting as Setting,
    read_registrations as read_registrations,
)
from .expectations import (
    Expectation as Expectation,
    above as above,
    below as below,
    between as between,
    parse as parse,
    within as within,
)

# How it is judged
from .looks import LOOKS as LOOKS, next_look as next_look, nominal_level as nominal_level
from .intervals import Interval as Interval, interval as interval
from .verdicts import Ruling as Ruling, Verdict as Verdict, judge as judge, words as words
from .comparisons import tied_with_best as tied_with_best
