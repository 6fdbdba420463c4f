"""Footprint: how many scenarios the kernel computes side by side, and the memory that it takes for them."""

from riskpipe.domain.book import Book

WORD = 64  # lanes in a word of bits
WIDTH = 32  # lanes that compiled loops take at once
VECTOR = 8  # and those that they take at once of what is left over; beyond, one by one
SHARE = 16  # lanes that have one cushion
SHARES = 8  # and cushions that compiled loops take at once
GUARD, MOST_GUARDS = 2, 200  # numbers of a guard of a cushion; a pool of more guards is looked at in every round
CUSHION_BATCH = 256  # pools whose cushions are compared by one call
BATCH = 16  # pools evaluated by one call
CACHE_LINE = 64  # bytes
MOST_LANES = 256  # how many fit the caches with the prices of some hundred instruments
STATE_BYTES = 384_000_000  # what three bits for each pool and lane may take, and its share of a cushion
LOAN_BYTES = 16  # what is left of a loan's debt and collateral in a lane
TILE_POOLS = 6_000_000  # whose records are kept; beyond, they are made in every round, tile by tile


def n_words(n_lanes: int) -> int:
    """Count the words that hold a bit for every lane."""
    return -(-n_lanes // WORD)


def n_shares(n_lanes: int) -> int:
    """Count the shares that lanes are cut into, rounded up to those that compiled loops take at once."""
    return -(-n_lanes // (SHARE * SHARES)) * SHARES


def padded(n_lanes: int) -> int:
    """Return a number of lanes rounded up to the width; what stands in the lanes between is never looked at."""
    return -(-n_lanes // WIDTH) * WIDTH


def most_lanes(n_pools: int, n_loans: int) -> int:
    """Return how many lanes are computed together: fewer where pools are so many that their state would be large."""
    bits = (3 + 32 // SHARE) * n_pools + 8 * LOAN_BYTES * n_loans  # for each lane
    return max(WIDTH, min(MOST_LANES, 8 * STATE_BYTES // max(bits, 1) // WIDTH * WIDTH))


def kernel_bytes(book: Book, n_lanes: int) -> int:
    """Bytes of anonymous memory that a kernel takes for n_lanes distinct scenarios of a mapped book, results apart."""
    n_loans = int(book.account_is_lending.sum())
    wide = padded(min(n_lanes, most_lanes(book.n_pools, n_loans)))
    n_tiles = max(1.0, book.n_pools / TILE_POOLS)
    # a sketch's head, and some 7 numbers a position and 6 a slot with their guards, measured on generated books; where
    # it starts, whose it is, and while the tape is made the order of classes
    of_numbers = 4 * (5 * book.n_pools + 7 * book.n_positions + 6 * len(book.slot_asset))
    of_records = of_numbers + (8 + 4 + 16) * book.n_pools
    # lanes in which it is closed, open or called, failing; cushions; which can be closed, which are portfolios
    of_pools = book.n_pools * (3 * 8 * n_words(wide) + 4 * n_shares(wide) + 1 + 1)
    n_prices = book.n_assets + 3 * book.n_instruments
    # prices of every lane, and at the 33 places of every ray
    of_lanes = 8 * wide * ((4 + 33) * n_prices + 20 * book.n_instruments + 40 * book.n_funds)
    of_loans = wide * (LOAN_BYTES * n_loans + 16 * book.n_venues * book.n_assets)
    return int(of_records / n_tiles) + of_pools + book.n_accounts + of_lanes + of_loans
