"""WHEN: a queue per device, machines shared fairly, rounds, retries, cancellation. Knows no pytest."""
