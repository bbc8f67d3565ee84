"""WHAT to run: suites x devices to cells, and the plain data every room shares."""
