"""Exits with 0 when the visible device computes, with 1 when it is sick, and with 2 when nobody can tell; says why in
one line."""

import sys

from . import NotChecked, Sick, check, load_driver

try:
    check(load_driver())
except Sick as error:
    print(error)
    sys.exit(1)
except NotChecked as error:
    print(error)
    sys.exit(2)
