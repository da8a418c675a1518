"""A log in TensorBoard's event files.  A file or the folder of one run -> series by step.

Read by TensorBoard's own ``EventAccumulator`` (tensorboard 2.16 or later, extra ``logs``), which also drops what a crashed run wrote beyond the
step at which its successor began (``purge_step``). PyTorch's ``SummaryWriter`` writes scalars as ``simple_value``, TensorFlow 2, Keras and
``new_style=True`` as tensors of the plugin "scalars"; both are read. Numbers are float32, as they were written.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from surefoot.errors import SettingError, UserFileError

if TYPE_CHECKING:
    import pandas as pd


MARK = b"brain.Event:"  # the version that every event file begins with
KIND = "tfevents"  # what TensorBoard itself knows the files by


def points(path: Path) -> dict[str, pd.Series[float]]:
    """Every scalar of one run, and ``wall_time`` in seconds since 1970.

    Raises:
        SettingError: TensorBoard is not installed.
        UserFileError: TensorBoard would not know the file by its name, or there is no scalar in it.
    """
    import pandas as pd  # heavy, and only who reads logs needs it

    try:
        from tensorboard.backend.event_processing import event_accumulator  # heavy, and an extra
    except ImportError:
        raise SettingError(
            f"{path} holds TensorBoard events, and tensorboard is not installed. Try: pip install 'surefoot[logs]'"
        ) from None
    if path.is_file() and KIND not in path.name:
        raise UserFileError(
            f"{path} is a TensorBoard event file, but its name lacks {KIND!r}, by which TensorBoard knows it. Rename it."
        )
    everything = dict.fromkeys((event_accumulator.SCALARS, event_accumulator.TENSORS), 0)
    events = event_accumulator.EventAccumulator(str(path), size_guidance=everything)
    events.Reload()
    found = dict(_scalars(events))
    if not found:
        raise UserFileError(
            f"{path} holds TensorBoard events but no scalars: write the loss with add_scalar, or wait until it is flushed."
        )
    times = [(event.wall_time, event.step) for _, recorded in found.items() for event in recorded]
    series = {tag: _series([_number(event) for event in recorded], recorded) for tag, recorded in found.items()}
    return series | {"wall_time": pd.Series([time for time, _ in times], index=[step for _, step in times], dtype=np.float64)}


def _scalars(events: Any) -> Iterator[tuple[str, list[Any]]]:
    tags = events.Tags()
    for tag in tags["scalars"]:
        yield tag, events.Scalars(tag)
    for tag in tags["tensors"]:
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":
            yield tag, events.Tensors(tag)


def _number(event: Any) -> float:
    from tensorboard.util import tensor_util  # there, for the event was read by it

    return float(event.value if hasattr(event, "value") else tensor_util.make_ndarray(event.tensor_proto))


def _series(values: list[float], recorded: list[Any]) -> pd.Series[float]:
    import pandas as pd  # heavy, and only who reads logs needs it

    return pd.Series(values, index=[event.step for event in recorded], dtype=np.float64)
