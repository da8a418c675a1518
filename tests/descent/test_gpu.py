"""On a GPU: the same descent as on the CPU, and fp16 with loss scaling. Skips with a word where there is none."""

import pytest
import torch

from surefoot import descend, problems

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")]


def test_a_descent_on_the_gpu_equals_the_cpu():
    digits = problems.load("digits-mlp")
    cpu, gpu = (descend(digits, lr=0.05, steps=50, device=device) for device in ("cpu", "cuda"))
    assert gpu.trace["loss"] == pytest.approx(cpu.trace["loss"], rel=1e-3)
    assert gpu.path.weights.device.type == "cpu"
    rest = descend(digits, lr=0.05, steps=20, start=gpu, device="cuda")
    assert len(rest.trace) == 70


def test_fp16_with_loss_scaling():
    digits = problems.load("digits-mlp")
    full, half = (descend(digits, lr=0.1, steps=100, device="cuda", autocast=kind) for kind in (None, "fp16"))
    assert half.trace["loss"][-10:].mean() == pytest.approx(full.trace["loss"][-10:].mean(), rel=0.2)
