"""The pages: what a blocked sender is told, and what an operator looks at."""
