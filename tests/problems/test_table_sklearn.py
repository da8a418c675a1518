"""A table's inputs against scikit-learn's own transformers, and its answer against scikit-learn's own regression."""

from __future__ import annotations

import warnings

import numpy as np
import pandas
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from surefoot.errors import SurefootWarning
from surefoot.problems import load
from surefoot.problems.split import split


def houses(rows: int = 200) -> pandas.DataFrame:
    random = np.random.default_rng(3)
    area = random.uniform(30, 200, rows)
    city = random.choice(["bonn", "oslo", "rome"], rows)
    price = 1000 * area + 5e4 * (city == "oslo") + random.normal(0, 5000, rows)
    return pandas.DataFrame({"area": area.round(1), "rooms": random.integers(1, 7, rows), "city": city, "price": price.round()})


def written(folder, frame: pandas.DataFrame, name: str = "table.csv", **how):
    file = folder / name
    frame.to_csv(file, index=False, **how)
    return file


def test_the_inputs_are_those_of_sklearns_transformers(tmp_path):
    frame = houses()
    frame.loc[[3, 50, 120], "area"] = np.nan
    with pytest.warns(SurefootWarning, match="'area': 3 missing values"):
        problem = load(written(tmp_path, frame), target="price")
    learn, held_out = split(len(frame), 0)
    # an indicator of what was missing is one more number, which scikit-learn standardises as well
    numeric = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    encoder = ColumnTransformer(
        [
            ("area", numeric, ["area"]),
            ("rooms", StandardScaler(), ["rooms"]),
            ("city", OneHotEncoder(sparse_output=False), ["city"]),
        ]
    ).fit(frame.iloc[learn])
    for part, rows in ((problem.data, learn), (problem.validation, held_out)):
        assert np.allclose(part[0].numpy(), encoder.transform(frame.iloc[rows]), atol=1e-5)
        assert part[0].dtype == torch.float32


def test_the_answer_of_a_linear_table_is_sklearns(tmp_path):
    problem = load(written(tmp_path, houses()), target="price")
    x, y = (part.double().numpy() for part in problem.data)
    fit = LinearRegression().fit(x, y[:, 0])
    assert problem.answer.loss == pytest.approx(1 - fit.score(x, y[:, 0]), rel=1e-4)
    assert problem.answer.loss < 0.05
    with torch.no_grad():
        torch.nn.utils.vector_to_parameters(torch.tensor(problem.answer.minimum, dtype=torch.float32), problem.model.parameters())
        assert problem.loss_on(problem.model, problem.data).item() == pytest.approx(problem.answer.loss, rel=1e-4)


def test_the_target_is_standardised_so_that_guessing_its_mean_costs_one(tmp_path):
    targets = load(written(tmp_path, houses()), target="price").data[1]
    assert targets.shape == (160, 1)
    assert (targets**2).mean().item() == pytest.approx(1, abs=1e-5)


def test_nothing_about_the_held_out_rows_is_learnt(tmp_path):
    frame = houses()
    before = load(written(tmp_path, frame), target="price")
    _, held_out = split(len(frame), 0)
    frame.loc[held_out, ["area", "price"]] *= 100
    after = load(written(tmp_path, frame), target="price")
    assert all(torch.equal(a, b) for a, b in zip(before.data, after.data, strict=True))
    assert not torch.equal(before.validation[0], after.validation[0])


def test_same_seed_same_problem_and_another_seed_another(tmp_path):
    file = written(tmp_path, houses())
    one, same, other = (load(file, target="price", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.data[0], same.data[0])
    assert torch.equal(one.model.weight, same.model.weight)
    assert not torch.equal(one.data[0], other.data[0])
    assert one.recipe == {"name": str(file.resolve()), "target": "price", "seed": 0}


@pytest.mark.parametrize(
    ("values", "model", "outputs", "kind"),
    [
        (np.linspace(0, 1, 40), "auto", 1, "linear regression"),
        ([2, 4, 6, 8, 10] * 8, "auto", 5, "softmax regression"),
        ([0.5, 1.5] * 20, "auto", 1, "linear regression"),
        ([0, 1] * 20, "auto", 1, "logistic regression"),
        ([True, False] * 20, "auto", 1, "logistic regression"),
        (["no", "yes"] * 20, "auto", 1, "logistic regression"),
        (["a", "b", "c", "d"] * 10, "auto", 4, "softmax regression"),
        ([2, 4, 6, 8, 10] * 8, "linear", 1, "linear regression"),
        ([0.5, 1.5] * 20, "logistic", 1, "logistic regression"),
        (["a", "b", "c", "d"] * 10, "network", 4, "a network"),
        (np.linspace(0, 1, 40), "network", 1, "a network"),
    ],
)
def test_the_model_follows_the_target(tmp_path, values, model, outputs, kind):
    frame = pandas.DataFrame({"x": np.arange(40) / 40, "y": values})
    problem = load(written(tmp_path, frame), target="y", model=model)
    assert problem.model(problem.data[0]).shape == (len(problem.data[0]), outputs)
    assert kind in problem.source
    assert torch.isfinite(problem.loss_on(problem.model, problem.data))
    assert (problem.answer is not None) == (kind == "linear regression")


def test_five_points_on_a_line_are_not_five_classes(tmp_path):
    frame = pandas.DataFrame({"x": [1, 2, 3, 4, 5], "y": [2, 4, 6, 8, 10]})
    problem = load(written(tmp_path, frame), target="y")
    assert problem.validation is None
    assert problem.answer.loss < 1e-12


def test_numbers_that_are_names_become_categories_when_asked(tmp_path):
    frame = pandas.DataFrame({"postcode": [100, 200, 300] * 10, "y": np.arange(30.0)})
    assert load(written(tmp_path, frame), target="y").data[0].shape[1] == 1
    assert load(written(tmp_path, frame), target="y", categorical="postcode").data[0].shape[1] == 3


def test_what_was_missing_dropped_or_left_out_is_said(tmp_path):
    frame = houses()
    frame["constant"], frame["id"] = 7, [f"house {i}" for i in range(len(frame))]
    frame.loc[:9, "city"] = None
    frame.loc[20:21, "price"] = np.nan
    with pytest.warns(SurefootWarning) as caught:
        problem = load(written(tmp_path, frame), target="price")
    said = str(caught[0].message)
    for words in (
        "2 rows without a target",
        "'city': 10 missing values",
        "'constant' (no two different",
        "'id' (text that hardly ever repeats",
    ):
        assert words in said
    assert len(caught) == 1
    assert "(missing)" in problem.source
    assert len(problem.data[0]) + len(problem.validation[0]) == 198


def test_the_source_can_be_read_by_anybody(tmp_path):
    lines = load(written(tmp_path, houses()), target="price").source.splitlines()
    assert lines[0].endswith("table.csv: 200 rows; 160 to learn from, 40 held out")
    assert lines[1].startswith("target 'price': an amount, standardised (mean ")
    assert lines[2:] == [
        "numeric columns, standardised: area, rooms",
        "categorical columns: city (3 categories)",
        "model: linear regression, 6 weights",
    ]


def test_a_column_of_many_categories_keeps_the_most_frequent(tmp_path):
    labels = [f"c{i:02}" for i in range(30) for _ in range(30 - i + 10)]
    frame = pandas.DataFrame({"city": labels, "y": np.random.default_rng(0).normal(size=len(labels))})
    problem = load(written(tmp_path, frame), target="y")
    assert problem.data[0].shape[1] == 21
    assert (problem.data[0].sum(1) == 1).all()
    assert "30 categories, the 20 most frequent kept" in problem.source


def test_a_category_that_was_not_learnt_is_no_category(tmp_path):
    frame = houses()
    _, held_out = split(len(frame), 0)
    frame.loc[held_out[0], "city"] = "lima"
    problem = load(written(tmp_path, frame), target="price")
    assert problem.validation[0][0, 2:].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x;y\n1,5;2\n2,5;4\n3,5;6\n", "semicolons and decimal commas"),
        ("x;y\n1.5;2\n2.5;4\n3.5;6\n", "semicolons"),
        ("x\ty\n1.5\t2\n2.5\t4\n3.5\t6\n", "tabs"),
        ("\ufeffx, y\n1.5, 2\n2.5, 4\n\n3.5, 6\n", "a byte order mark, spaces and an empty line"),
        (",x,y\n0,1.5,2\n1,2.5,4\n2,3.5,6\n", "row numbers of a data frame"),
    ],
    ids=lambda value: value if "\n" not in value else "",
)
def test_the_dialects_of_csv_are_read(tmp_path, text, expected):
    file = tmp_path / "points.csv"
    file.write_text(text, encoding="utf-8")
    problem = load(file, target="y")
    assert problem.data[0].shape == (3, 1), expected
    assert problem.answer.loss < 1e-12


def test_a_tsv_is_read(tmp_path):
    problem = load(written(tmp_path, houses(), "table.tsv", sep="\t"), target="price")
    assert problem.name == "table.tsv"
    assert problem.data[0].shape == (160, 5)


def test_extreme_numbers_stay_finite(tmp_path):
    frame = pandas.DataFrame(
        {"x": np.linspace(1, 2, 30) * 1e200, "small": np.linspace(1, 2, 30) * 1e-200, "y": np.arange(30) * 1.5}
    )
    frame.loc[3, "x"] = np.inf
    with pytest.warns(SurefootWarning, match="'x': 1 missing value,"):
        inputs = load(written(tmp_path, frame), target="y").data[0]
    assert torch.isfinite(inputs).all()


def test_columns_that_are_missing_altogether_or_only_there_at_times(tmp_path):
    frame = pandas.DataFrame({"never": [None] * 30, "at times": [1.0, None, None] * 10, "y": np.arange(30) * 1.5})
    with pytest.warns(SurefootWarning, match="'never' \\(no two different values\\)"):
        problem = load(written(tmp_path, frame), target="y")
    assert problem.data[0].shape[1] == 1


@pytest.mark.slow
def test_a_million_rows_load_in_seconds(tmp_path):
    random = np.random.default_rng(0)
    rows = 10**6
    frame = pandas.DataFrame(
        {name: random.normal(size=rows).round(4) for name in "abc"} | {"city": random.choice(["x", "y"], rows)}
    )
    frame["y"] = frame["a"] + (frame["city"] == "x")
    file = written(tmp_path, frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problem = load(file, target="y")
    assert len(problem.data[0]) == 800_000
    assert problem.answer.loss < 1e-9
