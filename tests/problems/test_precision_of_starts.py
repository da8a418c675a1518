"""In which precision a function is descended: that of the arrays it begins at; Python's own numbers have none, and take torch's default."""

import numpy as np
import pytest
import torch

from surefoot import Problem

STARTS = [
    (1.0, torch.float32), ([1.0, 2.0], torch.float32), ([1, 2], torch.float32),
    (np.array([1.0]), torch.float64), (np.array([1.0], dtype=np.float32), torch.float32), (torch.tensor([1.0]), torch.float32),
]  # fmt: skip


@pytest.mark.parametrize(("start", "dtype"), STARTS, ids=repr)
def test_the_precision_is_that_of_the_start(start, dtype):
    made = [Problem.of(lambda x: (x**2).sum(), start=start), Problem.of_gradient(lambda x: ((x**2).sum(), 2 * x), start=start)]
    assert [next(problem.model.parameters()).dtype for problem in made] == [dtype, dtype]
