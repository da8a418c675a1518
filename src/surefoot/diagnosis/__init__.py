"""What is going on?  a trace or a run, and the problem where it is at hand -> a verdict with evidence and a remedy."""
