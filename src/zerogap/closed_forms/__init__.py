"""Optima in closed form, each with the network that attains it."""

from zerogap.closed_forms.closed_form import ClosedForm
from zerogap.closed_forms.shrinkage import huber
from zerogap.closed_forms.soft_thresholded_svd import soft_thresholded_svd

__all__ = ["ClosedForm", "huber", "soft_thresholded_svd"]
