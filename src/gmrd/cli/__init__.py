"""The console commands: each composes a configuration and calls the library."""
