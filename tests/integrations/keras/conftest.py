"""Keras takes one backend per process: the tests of this folder run on the one that KERAS_BACKEND names, else on torch."""

import importlib.util
import os

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

collect_ignore = [] if importlib.util.find_spec("keras") else ["planted.py"]  # doctests are looked for in it, which imports Keras
