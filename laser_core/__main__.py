"""`python -m laser_core` is `laser`."""

from laser_core.cli import main

if __name__ == "__main__":
    main()
