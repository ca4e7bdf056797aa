"""Releases in, (epsilon, delta) out: see README.md. Nothing here imports PyTorch."""

from fedrun.accounting.bounds import Bound, bounds, epsilon, refused
from fedrun.accounting.calibrate import least_noise, with_noise
from fedrun.accounting.gaussian import gaussian_epsilon, gaussian_multiplier, noise_left
from fedrun.accounting.larger import group_bound, group_epsilon, shuffle_epsilon
from fedrun.accounting.running import running_epsilon
from fedrun.accounting.worst import worst_bounds, worst_running_epsilon

__all__ = ["Bound", "bounds", "epsilon", "gaussian_epsilon", "gaussian_multiplier", "group_bound",
           "group_epsilon", "least_noise", "noise_left", "refused", "running_epsilon",
           "shuffle_epsilon", "with_noise", "worst_bounds", "worst_running_epsilon"]  # fmt: skip
