"""`python -m sdrs_async` is the command `sdrs-async`."""

from sdrs_async.command.cli import main

if __name__ == "__main__":
    main()
