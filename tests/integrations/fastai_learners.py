"""Learners that the tests of the fastai callback share: as users make them."""

import importlib
import random
import warnings

import pytest
import torch
from torch import nn

pytest.importorskip("fastai")
with warnings.catch_warnings():  # fastai compiles a function when it is imported, in a way that torch is about to give up
    warnings.simplefilter("ignore")
    importlib.import_module("fastai.basics")
    importlib.import_module("fastai.callback.all")

from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.optimizer import Adam

QUIET = ["ignore:You are shadowing an attribute"]


def net():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))


def samples():
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(256, 4, generator=generator)
    return x, (x[:, 0] * x[:, 1] > 0).long()


def batches(size=32):
    return list(zip(*(part.split(size) for part in samples()), strict=True))


def learner(opt_func=Adam, cbs=(), shuffle=False, lr=0.01, model=None, loss=None, **settings):
    rows = list(zip(*samples(), strict=True))
    random.seed(7)
    loaders = DataLoaders(DataLoader(rows, bs=32, shuffle=shuffle), DataLoader(rows, bs=64), device="cpu")
    made = Learner(loaders, model or net(), loss or nn.CrossEntropyLoss(), opt_func=opt_func, lr=lr, cbs=list(cbs), **settings)
    return made.remove_cbs(made._grab_cbs(ProgressCallback))
