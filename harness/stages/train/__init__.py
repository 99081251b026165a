"""Training of one detector under one seed; `harness.stages.train.loop.train` is the way in."""
