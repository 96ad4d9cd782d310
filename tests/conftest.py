"""What tests of several rooms share. This file also puts `tests/` on the path of imports."""
