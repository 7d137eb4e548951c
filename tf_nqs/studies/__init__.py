"""Many runs: chains, searches, figures."""
