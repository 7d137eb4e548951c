"""What tf_nqs is fast at, measured against peers in one run: see README.md."""
