"""What all verbs share: lines, tables and progress on the terminal, reports and exit codes, signals, files of pages."""
