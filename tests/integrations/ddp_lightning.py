"""A training in two processes, each watching its own: run by test_lightning_fastai_run.py."""

import sys

import pytest

pytest.importorskip("lightning")

from surefoot.integrations.lightning import Watch
from tests.integrations.lightning_modules import Plain, loader, trainer

if __name__ == "__main__":
    watch, module = Watch(norms=1, every=4), Plain()
    fitted = trainer(watch, strategy="ddp", devices=2, max_epochs=2)
    fitted.fit(module, loader(), loader())
    trace = watch.trace
    print(
        f"\nrank {fitted.global_rank}: {len(trace)} {trace['weight_norm'][-1]:.9g} {trace['loss'][-1]:.9g} {watch.note}", flush=True
    )
    sys.exit(0)
