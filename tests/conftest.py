"""One thread: two tests at once must not fight for two cores."""

import torch

torch.set_num_threads(1)
