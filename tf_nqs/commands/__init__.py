"""What every command shares: flags, one way to end, exit statuses."""
