"""The commands of `dev.py`, and how they run the programs that they need.

Uses only the standard library, because it runs before anything is installed. Exceptions: `lab_table` and `languagehost`
run in the project's environment.
"""
