"""What `main.py` composes with: settings, logs, and the parts of the HTTP server that are no GraphQL."""
