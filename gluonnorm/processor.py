"""Tell in which number formats the processor is fast, and which it cannot compute in."""

from typing import Dict, Set

from gluonnorm._runtime import read_processors

# The instructions by which oneDNN computes in a number format without emulating it.
FAST_INSTRUCTIONS: Dict[str, Set[str]] = {
    "float32": {"avx2", "avx512f"},
    "bfloat16": {"avx512_bf16", "amx_bf16"},
    "int8": {"avx512_vnni", "avx_vnni", "amx_int8"},
}
# The instructions that a format needs, be it emulated. Without them oneDNN has no convolution in
# it, and MXNet fails with "could not create a primitive descriptor iterator".
NEEDED_INSTRUCTIONS: Dict[str, Set[str]] = {
    "bfloat16": {"avx512bw", "avx512dq", "avx512f", "avx512vl"},
}


def processor_instructions() -> Set[str]:
    """Read the names of the instruction sets that the processor has.

    Returns
    -------
    set of str
        Names as Linux spells them on x86; empty where the system does not tell.
    """
    for processor in read_processors():
        if "flags" in processor:
            return set(processor["flags"].split())
    return set()


def can_compute(number_format: str, instructions: Set[str]) -> bool:
    """Tell whether networks run in a number format, fast or slowly.

    Parameters
    ----------
    number_format : str
        A key of ``FAST_INSTRUCTIONS``.
    instructions : set of str
        As :func:`processor_instructions` returns them.

    Returns
    -------
    bool
        True where the instructions are not known.
    """
    if not instructions or FAST_INSTRUCTIONS[number_format] & instructions:
        return True
    return NEEDED_INSTRUCTIONS.get(number_format, set()) <= instructions


def slowness(number_format: str, instructions: Set[str]) -> str:
    """Explain why a number format is slow, or cannot be computed in.

    Parameters
    ----------
    number_format : str
        A key of ``FAST_INSTRUCTIONS``.
    instructions : set of str
        As :func:`processor_instructions` returns them.

    Returns
    -------
    str
        A sentence without a period; "" if the format is fast, or the instructions are not known.
    """
    if not can_compute(number_format, instructions):
        missing = sorted(NEEDED_INSTRUCTIONS[number_format] - instructions)
        return f"the processor lacks {', '.join(missing)}, so {number_format} does not run"
    fast = FAST_INSTRUCTIONS[number_format]
    if not instructions or fast & instructions:
        return ""
    return f"the processor has none of {', '.join(sorted(fast))}, so {number_format} is emulated"
