"""How many servers are busy, and how much waits for them: Little's law, and Erlang's formulas for M/M/c.

J. D. C. Little, "A Proof for the Queuing Formula: L = λW", Operations Research 9 (1961), 383-387. A. K. Erlang,
"Solution of Some Problems in the Theory of Probabilities of Significance in Automatic Telephone Exchanges",
Elektroteknikeren 13 (1917). The recursion for Erlang B, which does not overflow where factorials do: R. B. Cooper,
"Introduction to Queueing Theory", 2nd edition (1981), chapter 3.

M/M/c takes arrivals at random, and times of work that are exponentially distributed. Orders come at random; where the
work's length varies less, less waits, so that what is found here is rather too much.
"""

import math

FAR = 40.0
"""Standard deviations of the number of busy servers beyond which the chance of more has no place in a float."""


def busy(rate: float, seconds: float) -> float:
    """How many servers are busy in the mean, by Little's law: whatever is distributed how.

    Args:
        rate: Arrivals a second.
        seconds: How long each keeps a server.
    """
    return rate * seconds


def delay_probability(load: float, servers: int) -> float:
    """The share of arrivals that find all servers busy, by Erlang C.

    Args:
        load: Servers that would be busy if there were enough of them, in the mean.
        servers: How many there are.

    Returns:
        From 0 to 1; 1 where the load is more than the servers do.

    Raises:
        ValueError: If there is no server, or the load is below 0.
    """
    if servers < 1 or not 0 <= load < math.inf:
        raise ValueError(f"no queue has {servers} servers and a load of {load}")
    if load >= servers:
        return 1.0
    if servers > load + FAR * math.sqrt(load) + FAR:
        return 0.0
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return servers * blocked / (servers - load * (1 - blocked))


def waiting(load: float, servers: int) -> float:
    """How many wait in the mean, in an M/M/c queue; infinitely many where the load is more than the servers do.

    Raises:
        ValueError: As ``delay_probability``.
    """
    delayed = delay_probability(load, servers)
    return delayed * load / (servers - load) if load < servers else math.inf
