"""Which credential, where? From files, flags and variables to accounts."""
