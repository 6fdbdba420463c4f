"""`python -m riskpipe`: the same as the `riskpipe` command."""

from riskpipe.cli import main

if __name__ == "__main__":
    main()
