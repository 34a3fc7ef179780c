"""The injectors, one file a group of families; `faults.py` reads them all."""
