"""The tasks of reasoning-gym 0.1.25, and who checks each.

What is decided here: which of its scorers may see a response. Most of its tasks have one right answer, which is
compared here; the library is asked only where there are many, and only where its scorer reads the answer and evaluates
none of it. `handlers/gym/__init__.py` has the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping

from reward_service.handlers.gym import checks
from reward_service.handlers.gym.checks import Check


def _names(check: Check, names: str) -> dict[str, Check]:
    return dict.fromkeys(names.split(), check)


CHECKS: Mapping[str, Check] = {
    **_names(
        checks.text,
        "ab arc_1d arc_agi bf binary_matrix caesar_cipher emoji_mystery manipulate_matrix mini_sudoku modulo_grid "
        "path_star pool_matrix rearc rotate_matrix spiral_matrix string_insertion string_manipulation string_splitting "
        "string_synthesis sudoku survo word_sequence_reversal word_sorting",
    ),
    **_names(
        checks.word,
        "acre base_conversion color_cube_rotation course_schedule family_relationships isomorphic_strings "
        "knights_knaves letter_jumble mahjong_puzzle ransom_note spell_backward syllogism tsumego zebra_puzzles",
    ),
    **_names(checks.letters, "figlet_font needle_haystack"),
    **_names(
        checks.number,
        "aiw basic_arithmetic binary_alternation calendar_arithmetic chain_sum circuit_logic count_bits count_primes "
        "decimal_chain_sum gcd gsm_symbolic largest_island lcm leg_counting letter_counting maze number_format "
        "number_sequence products rectangle_count rotten_oranges self_reference simple_equations simple_geometry",
    ),
    "decimal_arithmetic": checks.rounded,
    "power_function": checks.significant,
    "coin_flip": checks.probability,
    **_names(checks.fraction, "dice fraction_simplification"),
    "bitwise_arithmetic": checks.hexadecimal,
    "complex_arithmetic": checks.complex_number,
    "polynomial_equations": checks.roots,
    "prime_factorization": checks.factors,
    "time_intervals": checks.duration,
    "game_of_life_halting": checks.truth,
    **_names(checks.values, "list_functions number_filtering"),
    "number_sorting": checks.sorted_numbers,
    **_names(checks.json_value, "codeio game_of_life"),
    "group_anagrams": checks.anagrams,
    "palindrome_partitioning": checks.partitions,
    "countdown": checks.countdown,
    "puzzle24": checks.twenty_four,
    **_names(checks.antiderivative, "simple_integration intermediate_integration"),
    "polynomial_multiplication": checks.product,
    "n_queens": checks.queens,
    "futoshiki": checks.futoshiki,
    "sentence_reordering": checks.sentence,
}
"""Tasks that the handler checks itself, in both profiles where the library would evaluate the response."""

_LIBRARY = (
    "advanced_geometry boxnet cryptarithm graph_color jugs kakurasu knight_swap palindrome_generation "
    "propositional_logic quantum_lock rubiks_cube rush_hour shortest_path sokoban tower_of_hanoi word_ladder"
)
LIBRARY = frozenset(_LIBRARY.split())
"""Tasks with many right answers, whose scorers read the response and evaluate none of it."""

_NEVER = (
    "binary_matrix coin_flip countdown game_of_life_halting intermediate_integration n_queens number_sorting "
    "polynomial_multiplication puzzle24 simple_integration spiral_matrix string_insertion arc_agi rearc "
    "calendar_arithmetic"
)
NEVER = frozenset(_NEVER.split())
"""Scorers that are never called, in any profile: they evaluate the response (`eval`, `parse_expr`, powers of ten), pay
anything, or read metadata that doesn't survive JSON."""

NO_ANSWER = frozenset(("boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"))
"""Tasks whose rows have no answer: the metadata is all that there is."""

TASKS = frozenset(CHECKS) | LIBRARY
