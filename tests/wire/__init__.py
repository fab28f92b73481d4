"""Vendors' APIs on the wire: a local HTTP server of ours that answers as they do, well or badly, and records."""
