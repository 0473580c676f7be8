"""The web app: reads kept runs, draws them, and starts jobs. It never loads torch."""
