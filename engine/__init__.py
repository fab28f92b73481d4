"""Durable jobs and the progress bus. Knows DBOS; the work itself is the domain's."""
