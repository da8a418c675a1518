"""Every table that cannot be used gets an error that names what was seen and the way out."""

from __future__ import annotations

import re

import pytest

from surefoot.errors import SettingError, UserFileError
from surefoot.problems import load

GOOD = "x,y\n1,2\n2,4\n3,7\n"


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("", {"target": "y"}, ["points.csv is empty", "line of column names"]),
        ("\n\n", {"target": "y"}, ["points.csv is empty"]),
        ("x,y\n", {"target": "y"}, ["column names but no rows", "Add at least two"]),
        ("x,y\n1,2\n", {"target": "y"}, ["one row only", "Add at least one more"]),
        ("x,y\n1,2\n2,\n", {"target": "y"}, ["one row only with a known target 'y' (of 2)"]),
        (GOOD, {}, ["Which column", "target=", "x, y"]),
        ("height,weight\n1,2\n2,3\n", {"target": "hight"}, ["no column named 'hight'", "Did you mean 'height'?", "height, weight"]),
        ("x,y\n1,\n2,\n3,\n", {"target": "y"}, ["target 'y'", "missing in every one of the 3 rows"]),
        (
            "x,y\n1,2\nabc,4\n3,6\n",
            {"target": "y"},
            ["line 3", "column 'x' holds numbers", "'abc'", "leave the cell empty", "categorical=['x']"],
        ),
        ("x,y\n1,2\n2,4\n3,six\n4,8\n", {"target": "y"}, ["line 4", "column 'y' holds numbers", "'six'"]),
        ("x,y\na1,2\na2,4\n3,6\n4,7\n5,9\n6,2\n", {"target": "y"}, ["line 2", "'a1' (1 more like it)"]),
        ('x,z,y\n1,"two\nlines",2\n\n2,b,4\noops,b,6\n', {"target": "y"}, ["line 6", "'oops'"]),
        ("x,y\n1,a\n2,a\n3,a\n", {"target": "y"}, ["a single class, 'a'", "3 rows", "another class"]),
        ("x,y\n1,0.5\n2,0.5\n3,0.5\n", {"target": "y"}, ["target 'y'", "0.5 in every row"]),
        ("x,y\n1,0.5\n2,inf\n3,2.5\n", {"target": "y"}, ["target 'y'", "infinite"]),
        ("x,y\n1,a\n2,b\n3,c\n4,d\n5,e\n", {"target": "y"}, ["5 different values in 5 rows", "no classes"]),
        ("x,y\n1,.1\n2,.2\n3,.3\n4,.4\n5,.5\n", {"target": "y", "model": "logistic"}, ["5 different values", "model='linear'"]),
        ("x,y\n1,a\n2,b\n3,a\n", {"target": "y", "model": "linear"}, ["is text", "'logistic'"]),
        ("y\n1\n2\n3\n", {"target": "y"}, ["no column to predict the target from"]),
        ("x,y\n1,2\n1,4\n1,6\n", {"target": "y"}, ["no column to predict the target from", "'x' (no two different values)"]),
        ("1.5,2\n2.5,4\n3.5,6\n", {"target": "y"}, ["first line", "holds numbers (1.5, 2)", "line of column names"]),
        ("x,y\n1,2\n2,4,5\n3,6\n", {"target": "y"}, ["Expected 2 fields in line 3, saw 3"]),
        ("x,y\n1,2,3\n2,4,5\n", {"target": "y"}, ["more values than there are column names"]),
        ("<!DOCTYPE html>\n<html></html>", {"target": "y"}, ["a web page"]),
        (b"x,y\n1,2\n2,\xe9t\xe9\n", {"target": "y"}, ["not text in UTF-8", "0xe9", "CSV UTF-8"]),
        (b"PK\x03\x04\x14\x00", {"target": "y"}, ["Excel workbook", "CSV UTF-8"]),
        (GOOD.encode("utf-16"), {"target": "y"}, ["binary data", "UTF-16"]),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", {"target": "y"}, ["binary data"]),
        (GOOD, {"target": "y", "categorical": ["z"]}, ["no column named 'z'"]),
    ],
)
def test_the_message_names_what_was_seen_and_the_way_out(tmp_path, content, options, words):
    file = tmp_path / "points.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserFileError) as caught:
        load(file, **options)
    for word in words:
        assert word in str(caught.value)
    assert "points.csv" in str(caught.value)


def test_a_file_that_is_not_there_and_a_folder_in_its_place(tmp_path):
    with pytest.raises(UserFileError, match=r"There is no file .*points\.csv.*current folder"):
        load(tmp_path / "points.csv", target="y")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserFileError, match=r"folder\.csv cannot be read"):
        load(tmp_path / "folder.csv", target="y")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "logistics"}, "no model named 'logistics'. Did you mean 'logistic'?"),
        ({"seed": -3}, "seed must be a whole number of at least 0, got -3"),
        ({"modle": "linear"}, "no option 'modle'. Did you mean 'model'? Its options: target, model, categorical, seed."),
    ],
)
def test_settings_that_make_no_sense(tmp_path, options, words):
    (tmp_path / "points.csv").write_text(GOOD)
    with pytest.raises(SettingError, match=re.escape(words)):
        load(tmp_path / "points.csv", target="y", **options)
