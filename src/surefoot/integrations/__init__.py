"""Where else do people train?  One file per framework, each imported only on demand: its hooks -> our trace, its training -> our problem."""
