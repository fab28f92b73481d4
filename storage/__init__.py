"""Database, objects, images and secrets: the adapters behind the ports of `domain`."""
