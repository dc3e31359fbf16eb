"""How large an experiment must be: users for an effect, and the effect that given users can show.

Two arms of equal size, a two-sided test at the 5 % level, by the normal approximation; the chance of a clear difference
in the wrong direction is left out. For a ratio take the deviation of its linearised values.
"""

import math

from scipy.stats import norm

from recsys.errors import SettingsError
from recsys.statistics.intervals import LEVEL
from recsys.statistics.power import POWER


def users_for_mean(deviation: float, effect: float, power: float = POWER) -> int:
    """Give the users per arm that show a difference of means.

    n = 2 (z_(1 - level/2) + z_power)^2 deviation^2 / effect^2, rounded up.

    Parameters
    ----------
    deviation
        Standard deviation between users, above 0.
    effect
        True difference B - A, not 0.
    power
        Chance of a clear difference, above the level and below 1.

    Raises
    ------
    SettingsError
        When an argument is out of its range.

    Examples
    --------
    >>> users_for_mean(deviation=1.0, effect=0.5)
    63
    """
    _check(power, effect)
    return _users(2 * _positive("deviation", deviation) ** 2, effect, power)


def effect_for_mean(deviation: float, users: int, power: float = POWER) -> float:
    """Give the minimum detectable difference of means: the inverse of `users_for_mean`.

    Parameters
    ----------
    deviation
        Standard deviation between users, above 0.
    users
        Users per arm, at least 2.
    power
        Chance of a clear difference, above the level and below 1.

    Raises
    ------
    SettingsError
        When an argument is out of its range.
    """
    _check(power, users=users)
    return _distance(power) * _positive("deviation", deviation) * math.sqrt(2 / users)


def users_for_rate(rate: float, effect: float, power: float = POWER) -> int:
    """Give the users per arm that show a difference of rates.

    As `users_for_mean`, each arm with its own variance p (1 - p) (unpooled).

    Parameters
    ----------
    rate
        Rate of A, above 0 and below 1.
    effect
        True difference B - A, not 0; `rate + effect` is a rate, too.
    power
        Chance of a clear difference, above the level and below 1.

    Raises
    ------
    SettingsError
        When an argument is out of its range.

    Examples
    --------
    >>> users_for_rate(rate=0.10, effect=0.02)
    3839
    """
    _check(power, effect)
    other = rate + effect
    for value, name in ((rate, "rate"), (other, "rate + effect")):
        if not 0 < value < 1:
            raise SettingsError(f"{name} is {value:g}; it must lie above 0 and below 1")
    return _users(rate * (1 - rate) + other * (1 - other), effect, power)


def effect_for_rate(rate: float, users: int, power: float = POWER) -> float:
    """Give the minimum detectable rise of a rate: the inverse of `users_for_rate`.

    Parameters
    ----------
    rate
        Rate of A, above 0 and below 1.
    users
        Users per arm, at least 2.
    power
        Chance of a clear difference, above the level and below 1.

    Raises
    ------
    SettingsError
        When an argument is out of its range, or so few users cannot show any rise.
    """
    _check(power, users=users)
    if not 0 < rate < 1:
        raise SettingsError(f"rate is {rate:g}; it must lie above 0 and below 1")
    # users d^2 = distance^2 (p (1 - p) + (p + d) (1 - p - d)), a quadratic in d
    scale = users / _distance(power) ** 2
    half = (1 - 2 * rate) / 2
    effect = (half + math.sqrt(half**2 + 2 * (scale + 1) * rate * (1 - rate))) / (scale + 1)
    if rate + effect >= 1:
        raise SettingsError(f"{users} users per arm cannot show any rise of a rate of {rate:g}; plan for more")
    return effect


def _users(variance: float, effect: float, power: float) -> int:
    exact = variance * (_distance(power) / effect) ** 2
    return max(2, math.ceil(exact * (1 - 1e-12)))  # so that the inverse gives the same number back


def _distance(power: float) -> float:
    return float(norm.ppf(1 - LEVEL / 2) + norm.ppf(power))


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise SettingsError(f"{name} is {value:g}; it must be above 0")
    return value


def _check(power: float, effect: float = 1.0, users: int = 2) -> None:
    if not LEVEL < power < 1:
        raise SettingsError(f"power is {power:g}; it must lie above {LEVEL:g} and below 1, such as {POWER:g}")
    if effect == 0 or not math.isfinite(effect):
        raise SettingsError(f"effect is {effect:g}; name the smallest difference that would matter")
    if users < 2:
        raise SettingsError(f"users is {users}; an arm needs at least 2")
