"""The same verbs in a terminal: one file per command, each parses, calls the library and prints."""
