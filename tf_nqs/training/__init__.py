"""Training by variational Monte Carlo, and the measurement of what was trained."""

from tf_nqs.measurement.energy import EnergyMeasurement, measure_energy
from tf_nqs.training.conditions import ConditionPolicy
from tf_nqs.training.loss import surrogate_loss
from tf_nqs.training.natural_gradient import NaturalGradient
from tf_nqs.training.optimizers import make_optimizer
from tf_nqs.training.pretraining import pretrain
from tf_nqs.training.trap_start import start_in_trap
from tf_nqs.training.vmc import VariationalMonteCarlo

__all__ = [
    "ConditionPolicy",
    "EnergyMeasurement",
    "NaturalGradient",
    "VariationalMonteCarlo",
    "make_optimizer",
    "measure_energy",
    "pretrain",
    "start_in_trap",
    "surrogate_loss",
]
