"""Running means and standard deviations against numpy's, of all parts at once."""

from __future__ import annotations

import numpy as np

from scget.model._running import Running


def test_running_is_numpys_mean_and_deviation_over_the_parts_asked(rng):
    parts_nkg, asked_ng = rng.normal(5, 2, (7, 3, 6)), rng.random((7, 6)) < 0.6
    asked_ng[:, 0], asked_ng[:, 1] = False, np.arange(7) == 2
    running, plain = Running(), Running()
    for values_kg, asked_g in zip(parts_nkg, asked_ng, strict=True):
        running.add(values_kg, asked_g)
        plain.add(values_kg)
    for g in range(6):
        mine_nk = parts_nkg[asked_ng[:, g], :, g]
        np.testing.assert_allclose(running.mean[:, g], mine_nk.mean(0) if len(mine_nk) else np.nan, rtol=1e-12)
        np.testing.assert_allclose(running.std[:, g], mine_nk.std(0, ddof=1) if len(mine_nk) > 1 else np.nan, rtol=1e-9)
    np.testing.assert_allclose(plain.mean, parts_nkg.mean(0), rtol=1e-12)
    np.testing.assert_allclose(plain.std, parts_nkg.std(0, ddof=1), rtol=1e-9)
