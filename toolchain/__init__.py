"""What `dev.py` is made of: its verbs, and how they run and show the programs that they need.

Standard library only, because it runs before anything is installed; `lab_table` and `languagehost` run in the
environment.
"""
