"""Networks behind the protocols of `factory.models`: one file per system, empty until `load`."""
