r"""Columns of the data too small to matter at some weight decay; without them a search is better conditioned.

Let A_sc = scale sum_k |m_skc| be the most that a unit weight on column c can add to sample s. Setting the weights on
columns C of a neuron u to zero changes r . phi(u) by at most sum_c |u_c| d_c with d_c = |r| . A_c. So a residual that
no neuron without these columns forbids, at a price of beta, has over all neurons a price of at most

    max over ||u|| = 1 of  beta ||u_rest|| + d . u_C  =  (beta^2 + ||d||^2)^(1/2)  <=  beta (1 + ||d||^2 / (2 beta^2)),

and the optimum without the columns is above the optimum by at most that share: the effect is quadratic.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from zerogap.question import Question

SHARE = 1e-3
"""Of the relative gap asked for, so much may be lost to columns that are left out."""

GROWTH = 2.0
"""Residuals of networks are taken to be at most so many times as long as that of no network. For squared loss they are
shorter; where the guess is wrong a network is a little worse, and its certificate, which reads all columns, says so."""


def without_negligible(question: Question, tol: float) -> Question:
    """The question with zeros in the columns whose absence raises the optimum by less than a small share of `tol`."""
    rows, loss = question.rows, question.loss
    residual = loss.gradient(question.nothing + question.constant)
    reach = GROWTH * np.linalg.norm(residual) * np.linalg.norm(rows.scale * np.abs(rows.matrix).sum(axis=1), axis=0)
    if question.architecture.bias == "free":
        reach[-1] = np.inf
    order = np.argsort(reach, kind="stable")
    lost = np.cumsum(reach[order] ** 2) / (2.0 * question.beta**2)
    small = order[lost <= SHARE * tol]
    if not np.any(rows.matrix[:, :, small]):
        return question
    matrix = rows.matrix.copy()
    matrix[:, :, small] = 0.0
    return replace(question, rows=replace(rows, matrix=matrix))
