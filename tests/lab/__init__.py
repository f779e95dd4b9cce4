"""Virtual bare-metal machines with installed systems on them, for tests, `make demo` and `make bench`."""
