"""Tests that fight neither for cores nor with chance: one thread each, and the same generated cases on every machine."""

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")
