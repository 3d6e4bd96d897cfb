"""Errors that reach people: one class, one clear line each."""


class FurrowError(Exception):
    """A failure whose message names cause and remedy in one line.

    Parameters
    ----------
    message
        Text for people, without traceback vocabulary.
    code
        Stable identifier for programs, in snake case; sent over the backend's pipe.
        In use: ``bad_input``, ``missing_file``, ``missing_model``, ``write_failed``,
        ``cancelled``, ``superseded``, ``backend_died``, ``engine_unavailable``, ``internal``.
    """

    def __init__(self, message: str, code: str = "bad_input") -> None:
        super().__init__(message)
        self.code = code
