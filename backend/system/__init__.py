"""The machine that a process runs on: processor, memory, packages out of wheels, work that can be ended."""
