# Homeostatic learning: what a network perceives acts on its learning rate (Man et al., 2022)
from .homeostatic import HomeostaticLearner as HomeostaticLearner
from .concept_shift import LabelSwaps as LabelSwaps
