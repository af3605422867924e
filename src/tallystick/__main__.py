"""``python -m tallystick`` is the command ``tallystick``."""

from tallystick.cli.main import run

if __name__ == "__main__":
    run()
