"""The device kind `android`: what a phone is, and how a job runs on one."""
