"""One adapter per image provider, each behind `domain.providers.ImageProvider`. The vendors' SDKs stay in here.

SDKs are imported when a provider is first called, so that importing this package (and starting) stays cheap.
"""
