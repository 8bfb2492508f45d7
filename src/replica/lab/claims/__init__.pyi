# What a paper file uses
from .paper import Claim as Claim, Entry as Entry, Paper as Paper, Reported as Reported
from .trial import SCALES as SCALES, Scale as Scale, Trial as Trial
from .measures import Proportion as Proportion
from .expectations import (
    Expectation as Expectation,
    above as above,
    below as below,
    between as between,
    within as within,
)
from .spaces import Choice as Choice, Integer as Integer, LogUniform as LogUniform, Uniform as Uniform

# How it is judged
from .intervals import Interval as Interval, interval as interval
from .verdicts import Ruling as Ruling, Verdict as Verdict, judge as judge
from .comparisons import holm as holm, paired_p_value as paired_p_value, tied_with_best as tied_with_best
