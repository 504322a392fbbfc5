"""Matrices of a sum over pairs: the curvature of every likelihood that compares two models."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from .evidence import FloatArray


def laplacian(weights: FloatArray) -> FloatArray:
    """Sum over pairs of weights[i, j] z z' with z = e_i - e_j; weights symmetric, zero diagonal."""
    matrix = -weights
    np.fill_diagonal(matrix, weights.sum(axis=1))
    return matrix


def gauged_laplacian(weights: FloatArray, totals: FloatArray) -> FloatArray:
    """The Laplacian plus mean(totals) 11', which removes its null direction and nothing else."""
    gauged: FloatArray = laplacian(weights) + totals.mean()
    return gauged


def information_inverse(weights: FloatArray, totals: FloatArray) -> FloatArray:
    """Pseudo-inverse of the Laplacian: the inverse on vectors that sum to zero."""
    size = weights.shape[0]
    return centred(cho_solve(cho_factor(gauged_laplacian(weights, totals)), np.eye(size)), size)


def bordered(
    weights: FloatArray, totals: FloatArray, border: FloatArray, corner: FloatArray
) -> FloatArray:
    """[M + K, M + K] information of M strengths, gauged as above, and K further parameters.

    `border` [M, K], each column summing to zero; `corner` [K, K]. The further parameters stay in
    their own units: the gauge term touches none of them.
    """
    size, extra = border.shape
    matrix = np.empty((size + extra, size + extra))
    matrix[:size, :size] = gauged_laplacian(weights, totals)
    matrix[:size, size:] = border
    matrix[size:, :size] = border.T
    matrix[size:, size:] = corner
    return matrix


def bordered_inverse(matrix: FloatArray, size: int) -> FloatArray:
    """Inverse of a `bordered` matrix on vectors whose first `size` entries sum to zero."""
    return centred(cho_solve(cho_factor(matrix), np.eye(matrix.shape[0])), size)


def centred(matrix: FloatArray, size: int) -> FloatArray:
    """Take the mean over the first `size` rows, then columns, out of them (in place)."""
    matrix[:size] -= matrix[:size].mean(axis=0)
    matrix[:, :size] -= matrix[:, :size].mean(axis=1, keepdims=True)
    return matrix


def sandwiched(inverse: FloatArray, meat: FloatArray) -> FloatArray:
    """inverse @ meat @ inverse, made exactly symmetric."""
    covariance = inverse @ meat @ inverse
    symmetric: FloatArray = 0.5 * (covariance + covariance.T)
    return symmetric
