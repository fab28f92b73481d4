"""Stand-ins for the world outside, behind the same ports as the real adapters."""
