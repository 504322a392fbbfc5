import pytest

from leaderboard import covariance
from leaderboard.ratings.bradley_terry import fit_bt
from tests.leaderboard.ratings.synthetic import random_counts


def test_differences_have_the_errors_that_the_fit_gives_them():
    fit = fit_bt(random_counts(3, models=9, votes=900))
    names = [f"m{model}" for model in fit.models]
    packed = covariance.pack(names, fit.cov())
    for i, a in enumerate(fit.models):
        for j, b in enumerate(fit.models):
            error = covariance.standard_error(packed, names[i], names[j])
            assert error == pytest.approx(fit.diff(a, b).standard_error, rel=1e-4, abs=1e-3)


def test_a_model_that_is_not_in_it_has_no_difference():
    fit = fit_bt(random_counts(3))
    packed = covariance.pack([str(model) for model in fit.models], fit.cov())
    assert covariance.standard_error(packed, "0", "nobody") is None
    assert covariance.standard_error(b"", "0", "1") is None
