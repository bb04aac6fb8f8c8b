"""What is true of several runs: facts of their folders, tables, statistics, budgets. Nothing is drawn here."""
