"""How many bytes a process holds for all its clients together."""

from service.refusal import Refusal


class ByteBudget:
    """A limit on the bytes that many requests hold at once.

    One request alone may exceed it: what it holds is limited elsewhere.

    Parameters
    ----------
    limit : int
        The most bytes.
    reason : str
        What a client is told that has to come back, such as ``"too many uploads at once"``.
    """

    def __init__(self, limit: int, reason: str) -> None:
        self._limit = limit
        self._reason = reason
        self._num_bytes = 0

    def add(self, count: int) -> None:
        """Count bytes that are held from now on.

        Parameters
        ----------
        count : int
            How many.

        Raises
        ------
        Refusal
            503: others hold so many that there is no room.
        """
        if self._num_bytes > 0 and self._num_bytes + count > self._limit:
            raise Refusal(503, f"{self._reason}; try again in 1 s", {"Retry-After": "1"})
        self._num_bytes += count

    def remove(self, count: int) -> None:
        """Count bytes that are no longer held.

        Parameters
        ----------
        count : int
            How many.
        """
        self._num_bytes -= count
