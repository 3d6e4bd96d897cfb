"""The add-on's end of the backend process, and jobs that run beside the window."""
