"""The backend as a process of its own: messages, the loop that answers, the methods, the start."""
