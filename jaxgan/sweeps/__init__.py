"""Ablations: configurations times seeds as lanes of compiled programs, and what they tell."""

from jaxgan.sweeps.driver import compare, go_on, main, resume, sweep
from jaxgan.sweeps.plan import Options
from jaxgan.sweeps.space import log_uniform, uniform

__all__ = ["Options", "compare", "go_on", "log_uniform", "main", "resume", "sweep", "uniform"]
