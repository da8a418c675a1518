"""The user's own table.  points.csv + the name of its target -> linear, logistic or network regression on its columns."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from surefoot.errors import SurefootWarning, UserFileError, nearest, unknown
from surefoot.problem import Answer, Problem
from surefoot.problems import options
from surefoot.problems.columns import Encoded, Matrix, encode, numbers
from surefoot.problems.csv_file import read
from surefoot.problems.initial import seeded
from surefoot.problems.least_squares import least_squares
from surefoot.problems.split import Indices, split
