"""Object stores: local files and S3-compatible services behind one port."""
