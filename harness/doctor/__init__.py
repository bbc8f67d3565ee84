"""What is missing before a lab can measure, and the one command that mends it; and records of real devices."""
