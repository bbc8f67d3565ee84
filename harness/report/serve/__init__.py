"""A folder of runs in a browser: every run's report, and how each cell developed from run to run."""
