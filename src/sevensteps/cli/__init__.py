"""The command line: parses words, calls the library, prints. No logic of its own.

In: words. Out: results on stdout, progress on stderr, an exit code (0 done, 1 failed, 2 asked wrongly, 130
interrupted).
May import: everything.
"""
