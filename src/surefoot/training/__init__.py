"""How is a training brought to its end without a knob?  A problem and a number of steps -> a run, mended on the way."""
