"""What every test may use: the fixtures of tests/fix_*.py."""

pytest_plugins = ["tests.fix_db", "tests.fix_embedded", "tests.fix_engine"]
