"""The command `sdrs-async`: flags, files, progress, signals and exit codes around the library."""
