"""The user's own pictures.  A folder with one sub-folder per class -> a classifier, a small convolutional network."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from surefoot.errors import SettingError, UserFileError
from surefoot.problem import Problem
from surefoot.problems import options
from surefoot.problems.initial import seeded
from surefoot.problems.split import split

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pbm", ".pgm", ".ppm"})
PARTS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
MEMORY = 2**30  # bytes of pixels kept in memory (350,000 colour images of 32 x 32); beyond, files are read as they are needed


def images(folder: str | os.PathLike[str], *, size: int = 32, grayscale: bool | str = "auto", seed: int = 0) -> Problem:
    """Telling the classes of pictures apart: each sub-folder is a class, named as it is called.

    Every picture is cropped at its longer sides to a square and resized. Pixels are kept as bytes, a quarter of the memory of
    float32, and the model's first layer makes numbers from -2 to 2 of them. Up to 1 GiB of pixels stays in memory, read once;
    a larger folder is read file by file during the descent.

    Args:
        folder: holds the sub-folders; pictures may lie at any depth in them. Hidden files, and those whose names are not those of
            pictures, are passed over.
        size: side of the square in pixels, 8 or more.
        grayscale: True, False, or ``"auto"``: grey where every file is.
        seed: what the split and the first weights are drawn from, 0 or more.

    Returns:
        The problem; a fifth of each class is held out. Inputs are (images, 1 or 3, size, size) bytes, targets the classes in
        alphabetical order.

    Raises:
        UserFileError: the folder is missing, holds no pictures or a single class, or a file is broken; the message names it.
        SettingError: an option makes no sense.

    Example:
        >>> import tempfile, PIL.Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for kind, shade in (("dark", 0), ("light", 255)):
        ...         Path(folder, kind).mkdir()
        ...         for index in range(5):
        ...             PIL.Image.new("L", (20, 20), shade).save(Path(folder, kind, f"{index}.png"))
        ...     problem = images(folder, size=16)
        >>> problem.data[0].shape, len(problem.validation[0])
        (torch.Size([8, 1, 16, 16]), 2)
    """
    root, side = Path(folder), options.count("size", size, least=8)
    if grayscale not in (True, False, "auto"):
        raise SettingError(f"grayscale must be True, False or 'auto', got {grayscale!r}.")
    files, labels, classes = _files(root)
    grey = all(_is_grey(file) for file in files) if grayscale == "auto" else bool(grayscale)
    channels = 1 if grey else 3
    learn, held_out = split(len(files), seed, labels)
    parts = [ImageFiles([files[i] for i in part], labels[part], side, channels) for part in (learn, held_out)]
    if len(files) * channels * side * side <= MEMORY:
        learnt, validation = (part.loaded() for part in parts)
    else:
        learnt, validation = cast(Any, parts)
    counts = Counter(labels.tolist())
    return Problem(
        seeded(lambda: _network(side, channels, len(classes)), seed),
        learnt,
        loss=nn.functional.cross_entropy,
        validation=validation if len(held_out) else None,
        name=root.resolve().name,
        source=f"{root}: {len(files):,} pictures, {len(learn):,} to learn from, {len(held_out):,} held out\n"
        f"{len(classes)} classes: {options.listed([f'{name} ({counts[index]:,})' for index, name in enumerate(classes)])}\n"
        f"read as {side} x {side} pixels in {'shades of grey' if grey else 'colour'}",
    )


class ImageFiles(Dataset[tuple[Tensor, int]]):
    """Pictures that are read when they are asked for: index -> ((channels, size, size) bytes, class)."""

    def __init__(self, files: Sequence[Path], labels: Any, size: int, channels: int) -> None:
        self.files, self.labels, self.size, self.channels = files, labels, size, channels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return _pixels(self.files[index], self.size, self.channels), int(self.labels[index])

    def loaded(self) -> tuple[Tensor, Tensor]:
        """All of them as one pair of tensors."""
        pixels = torch.empty((len(self), self.channels, self.size, self.size), dtype=torch.uint8)
        for index, file in enumerate(self.files):
            pixels[index] = _pixels(file, self.size, self.channels)
        return pixels, torch.from_numpy(np.asarray(self.labels, dtype=np.int64))


class Shades(nn.Module):
    """Bytes from 0 to 255 -> numbers from -2 to 2, in the precision of the model."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(4 / 255), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """The same shape."""
        return pixels.to(self.scale.dtype) * self.scale - 2


def _network(size: int, channels: int, classes: int) -> nn.Module:
    """Convolutions, each block half as wide as the one before, until about 4 x 4 places are left."""
    layers: list[nn.Module] = [Shades()]
    width = 16
    while size >= 8:
        # normalised per picture: nothing to carry along between batches, and deep stacks for large pictures still start well
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.GroupNorm(4, width), nn.ReLU(), nn.MaxPool2d(2)]
        channels, width, size = width, min(2 * width, 128), size // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size * size, classes))


def _files(root: Path) -> tuple[list[Path], Any, list[str]]:
    """The pictures, the index of the class of each, and the names of the classes."""
    if not root.is_dir():
        seen = "is a file, not a folder" if root.exists() else f"does not exist; the current folder is {Path.cwd()}"
        raise UserFileError(f"The folder of pictures {root} {seen}.")
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    found = {entry.name: pictures for entry in folders if (pictures := _pictures(entry))}
    _check_classes(root, folders, found)
    files = [file for pictures in found.values() for file in pictures]
    return files, np.repeat(np.arange(len(found)), [len(pictures) for pictures in found.values()]), list(found)


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )


def _check_classes(root: Path, folders: Sequence[Path], found: dict[str, list[Path]]) -> None:
    way_out = "Put the pictures into one sub-folder per class, such as cats/ and dogs/."
    if not found:
        loose = sum(file.suffix.lower() in SUFFIXES for file in root.iterdir())
        seen = f"{loose:,} pictures but no sub-folder with any" if loose else f"no pictures ({', '.join(sorted(SUFFIXES))})"
        raise UserFileError(f"The folder {root} holds {seen}. {way_out}")
    if len(found) > 1 and {name.lower() for name in found} <= PARTS:
        raise UserFileError(
            f"The folder {root} holds {options.listed(list(found))}, which are parts of a data set, not classes. "
            f"Give {root / next(iter(found))}; a fifth of it is held out."
        )
    if len(found) == 1:
        empty = [folder.name for folder in folders if folder.name not in found]
        also = f" ({options.listed(empty)}: no pictures)" if empty else ""
        raise UserFileError(
            f"The folder {root} holds a single class, {next(iter(found))!r}{also}: there is nothing to tell apart. {way_out}"
        )


def _is_grey(file: Path) -> bool:
    with _opened(file) as image:
        return image.mode in ("1", "L", "LA") or image.mode.startswith(("I", "F"))


def _opened(file: Path) -> Image:
    from PIL import Image

    try:
        return Image.open(file)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _broken(file, error) from error


def _pixels(file: Path, size: int, channels: int) -> Tensor:
    """(channels, size, size) bytes."""
    from PIL import ImageOps

    mode = "L" if channels == 1 else "RGB"
    with _opened(file) as image:
        try:
            image.draft(mode, (2 * size, 2 * size))  # a JPEG can be decoded at a fraction of its size, many times faster
            upright = ImageOps.exif_transpose(image)
            square = ImageOps.fit(_in_bytes(upright, mode), (size, size))
        except (OSError, SyntaxError, ValueError, EOFError) as error:  # Pillow's decoders raise all of these on broken data
            raise _broken(file, error) from error
    return torch.from_numpy(np.array(square, dtype=np.uint8)).reshape(size, size, channels).permute(2, 0, 1).contiguous()


def _in_bytes(image: Image, mode: str) -> Image:
    """The picture in one or three bytes per pixel, on white where it is transparent."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits: Pillow would cut off what is above 255
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L").convert(mode)
    if "A" in image.getbands() or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert(mode)
    return image.convert(mode)


def _broken(file: Path, error: Exception) -> UserFileError:
    reason = (
        "it is empty" if file.exists() and not file.stat().st_size else str(error).splitlines()[0].replace(repr(str(file)), "it")
    )
    return UserFileError(f"{file} cannot be read as a picture: {reason}. Replace or delete it.")
