"""The confidence of a verdict is how often it was right in the benchmark's calibration runs: the table in the code against what is on file."""

from __future__ import annotations

import collections
import json
from pathlib import Path

import pytest

from surefoot.diagnosis.verdicts import RIGHT

RESULTS = Path(__file__).parents[2] / "benchmarks" / "verdicts" / "results.json"


@pytest.mark.parametrize("basis", ["problem", "trace"])
def test_the_table_is_what_the_calibration_runs_gave(basis):
    given, right = collections.Counter(), collections.Counter()
    for entry in json.loads(RESULTS.read_text()):
        if entry["split"] == "calibration":
            given[entry[basis]["verdict"]] += 1
            right[entry[basis]["verdict"]] += entry[basis]["verdict"] == entry["label"]
    del given["unsure"]
    assert RIGHT[basis] == {verdict: (right[verdict], count) for verdict, count in given.items()}
