"""A night with a simulated set attributes its expected shortfall; one without says that there is nothing to."""

import json

import numpy as np
import pytest
from support.nights import run_on, write_inputs

import riskpipe
from riskpipe.measures.distribution import tail_mean, tail_weights


def report_of(store):
    return json.loads(next(store.glob("runs/*/report/report.json")).read_text())


def test_contributions_of_a_night_add_up_to_the_expected_shortfall_of_its_cube(tmp_path):
    inputs = write_inputs(tmp_path / "inputs", n_accounts=400)
    simulated = {"n": 60, "horizon": "7d", "seed": 3, "attributed_level": 0.9, "without_entities": 2}
    run_on(inputs, tmp_path / "store", scenarios={"simulated": simulated})
    cube = riskpipe.open_cube(str(tmp_path / "store"))
    funds, found = cube["funds"].to_dataset(), cube["attribution"].to_dataset()
    central = (funds["set"].values.astype(object) == "simulated") & (
        funds["variant"].values.astype(object) == "gap_share=1"
    )
    losses = funds["shortfall"].values.sum(axis=1)[central]
    expected = tail_mean(losses, funds["probability"].values[central], 0.9)
    assert expected > 0.0
    for name in ("fund", "venue", "segment"):
        assert float(found[f"{name}_contribution"].sum()) == pytest.approx(expected, rel=1e-12), name
    carried = float(found["underlying_contribution"].sum() + found["debt_contribution"].sum())
    assert carried == pytest.approx(expected, rel=1e-12)
    n_entities = int((found["entity_contribution"].values > 0.0).sum())
    assert np.isfinite(found["without_entity"].values).sum() == min(2, n_entities)
    assert float(np.nanmax(found["level"].values)) == 0.9
    adl, taken = cube["adl"].to_dataset(), funds["adl_loss"].values
    expected = tail_weights(losses, funds["probability"].values[central], 0.9) @ taken[central]
    assert expected.sum() > 0.0
    assert adl["cost"].sel(view="tail").values == pytest.approx(expected, rel=1e-9)
    assert float(adl["segment_cost"].sel(view="tail").sum()) == pytest.approx(expected.sum(), rel=1e-9)
    assert float(adl["level"].sel(view="tail")) == 0.9
    text = json.dumps(report_of(tmp_path / "store"))
    assert '"attribution_accounts"' in text
    assert "Euler" in text


def test_a_night_without_probabilities_attributes_nothing(inputs, tmp_path):
    run_on(inputs, tmp_path / "store", scenarios={"grid": {"index_shock": [-0.4, 0.0]}})
    cube = riskpipe.open_cube(str(tmp_path / "store"))
    found, adl = cube["attribution"].to_dataset(), cube["adl"].to_dataset()
    assert np.isnan(found["level"].values).all()
    assert np.isnan(adl["cost"].sel(view="tail").values).all()
    variant = cube["funds"]["variant"].values.astype(object)
    taken = np.where(variant == variant[0], cube["funds"]["adl_loss"].values.sum(axis=1), 0.0)
    worst = adl.sel(view="worst")
    assert float(worst["cost"].sum()) == pytest.approx(taken.max(), rel=1e-9)
    assert int(worst["scenario"]) == int(taken.argmax())
    assert float(worst["segment_cost"].sum()) == pytest.approx(taken.max(), rel=1e-9)
    assert np.isnan(found["account_contribution"].values).all()
    assert "Euler" not in json.dumps(report_of(tmp_path / "store"))
