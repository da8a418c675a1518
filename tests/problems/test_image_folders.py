"""Folders of pictures: planted colours and shapes come back, real digits are learnt, and bad folders are refused in words."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from surefoot.errors import SettingError, UserFileError
from surefoot.problems import images, load

CHANNELS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def colours(folder, count: int = 5, kinds=("red", "green", "blue"), suffix: str = ".png"):
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (24 + index, 20), CHANNELS[kind]).save(folder / kind / f"{index}{suffix}")
    return folder


def test_pixels_and_classes_are_those_of_the_files(tmp_path):
    problem = load(colours(tmp_path / "paints"), size=16)
    pixels, classes = problem.data
    assert (problem.name, pixels.shape, pixels.dtype) == ("paints", torch.Size([12, 3, 16, 16]), torch.uint8)
    for picture, kind in zip(pixels, classes.tolist(), strict=True):
        assert picture[:, 3, 3].tolist() == list(CHANNELS[sorted(CHANNELS)[kind]])
    assert sorted(problem.validation[1].tolist()) == [0, 1, 2]
    assert "3 classes: blue (5), green (5), red (5)" in problem.source


def test_jpegs_of_any_size_are_read(tmp_path):
    for kind in ("red", "blue"):
        (tmp_path / kind).mkdir()
        Image.new("RGB", (900, 600), CHANNELS[kind]).save(tmp_path / kind / "large.JPG")
    pixels, classes = load(tmp_path).data
    assert pixels.shape == (2, 3, 32, 32)
    assert pixels[classes.tolist().index(1), 0].float().mean() > 250


def test_grey_is_told_from_colour_and_can_be_asked_for(tmp_path):
    for kind, shade in (("dark", 10), ("light", 200)):
        (tmp_path / kind).mkdir()
        Image.new("L", (20, 20), shade).save(tmp_path / kind / "a.png")
        Image.fromarray(np.full((20, 20), shade * 257, dtype=np.uint16)).save(tmp_path / kind / "sixteen bits.png")
    pixels, classes = load(tmp_path).data
    assert pixels.shape[1] == 1
    assert [picture.float().mean().item() for picture in pixels] == [10 if kind == 0 else 200 for kind in classes]
    assert load(tmp_path, grayscale=False).data[0].shape[1] == 3
    assert load(colours(tmp_path / "paints"), grayscale=True).data[0].shape[1] == 1


def test_transparency_becomes_white(tmp_path):
    for kind in ("a", "b"):
        (tmp_path / kind).mkdir()
        Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / kind / "clear.png")
    assert load(tmp_path).data[0].min() == 255


def test_hidden_files_and_other_files_are_passed_over(tmp_path):
    colours(tmp_path, kinds=("red", "blue"))
    (tmp_path / "red" / ".hidden.png").write_bytes(b"")
    (tmp_path / "red" / "notes.txt").write_text("none")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "red" / "deeper").mkdir()
    Image.new("RGB", (9, 9), "red").save(tmp_path / "red" / "deeper" / "one.png")
    problem = load(tmp_path)
    assert len(problem.data[0]) + len(problem.validation[0]) == 11


def test_what_does_not_fit_in_memory_is_read_file_by_file_and_is_the_same(tmp_path, monkeypatch):
    colours(tmp_path)
    whole = load(tmp_path)
    monkeypatch.setattr(images, "MEMORY", 1000)
    lazy = load(tmp_path)
    for at_once, one_by_one in ((whole.data, lazy.data), (whole.validation, lazy.validation)):
        assert isinstance(one_by_one, images.ImageFiles)
        assert torch.equal(at_once[0], torch.stack([one_by_one[i][0] for i in range(len(one_by_one))]))
        assert at_once[1].tolist() == [one_by_one[i][1] for i in range(len(one_by_one))]


@pytest.mark.parametrize("size", [8, 28, 64, 100])
def test_the_network_fits_the_size_and_the_gradient_reaches_every_weight(tmp_path, size):
    problem = load(colours(tmp_path), size=size)
    model = copy.deepcopy(problem.model)
    problem.loss_on(model, problem.data).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    assert torch.equal(model[1].weight, load(tmp_path, size=size).model[1].weight)


def test_the_first_layer_follows_the_precision_of_the_model(tmp_path):
    problem = load(colours(tmp_path))
    assert copy.deepcopy(problem.model).double()(problem.data[0]).dtype == torch.float64
    shades = problem.model[0](torch.tensor([0, 255], dtype=torch.uint8))
    assert shades.tolist() == pytest.approx([-2, 2], abs=1e-6)


def test_real_digits_in_a_folder_are_learnt(tmp_path):
    pixels, labels = load_digits(n_class=3, return_X_y=True)
    for index, (picture, label) in enumerate(zip(pixels[:240], labels, strict=False)):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        Image.fromarray((picture.reshape(8, 8) * 15.9).astype(np.uint8)).save(tmp_path / str(label) / f"{index}.png")
    problem = load(tmp_path, size=8)
    model = copy.deepcopy(problem.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        problem.loss_on(model, problem.data).backward()
        optimizer.step()
    inputs, targets = problem.validation
    assert (model(inputs).argmax(1) == targets).float().mean() > 0.95


def test_a_folder_that_is_missing_or_a_file(tmp_path):
    with pytest.raises(UserFileError, match="does not exist; the current folder is"):
        images.images(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserFileError, match="is a file, not a folder"):
        images.images(tmp_path / "file")


def test_a_folder_without_pictures_or_without_classes(tmp_path):
    with pytest.raises(UserFileError, match=r"holds no pictures.*\.png.*one sub-folder per class"):
        load(tmp_path)
    Image.new("L", (9, 9)).save(tmp_path / "loose.png")
    with pytest.raises(UserFileError, match="holds 1 pictures but no sub-folder"):
        load(tmp_path)


def test_a_single_class_is_refused_and_an_empty_one_named(tmp_path):
    colours(tmp_path, kinds=("red",))
    with pytest.raises(UserFileError, match=r"a single class, 'red': there is nothing to tell apart.*cats/ and dogs/"):
        load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserFileError, match=r"a single class, 'red' \(empty: no pictures\)"):
        load(tmp_path)


def test_the_parts_of_a_data_set_are_not_its_classes(tmp_path):
    for part in ("train", "val"):
        colours(tmp_path / part, count=2)
    with pytest.raises(UserFileError, match=r"holds train, val, which are parts of a data set, not classes. Give .*train;"):
        load(tmp_path)


@pytest.mark.parametrize("grayscale", ["auto", True])
@pytest.mark.parametrize("content", ["empty", "no picture", "cut short"])
def test_a_broken_file_is_named(tmp_path, content, grayscale):
    colours(tmp_path, kinds=("red", "blue"))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))
    noise.save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    broken = {"empty": b"", "no picture": b"hello", "cut short": whole[: len(whole) // 2]}[content]
    (tmp_path / "blue" / "holiday.png").write_bytes(broken)
    with pytest.raises(UserFileError, match=r"blue.holiday\.png cannot be read as a picture: .*Replace or delete it") as caught:
        load(tmp_path, grayscale=grayscale)
    assert ("it is empty" in str(caught.value)) == (content == "empty")


def test_options_that_make_no_sense_are_refused(tmp_path):
    colours(tmp_path)
    with pytest.raises(SettingError, match="size must be a whole number of at least 8, got 4"):
        load(tmp_path, size=4)
    with pytest.raises(SettingError, match="grayscale must be True, False or 'auto', got 'grey'"):
        load(tmp_path, grayscale="grey")
