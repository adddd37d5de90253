"""Registration: what a launch states before its first result, compared with what is stated later."""
