"""Print what a bug report needs: ``python -m gluonnorm``."""

import os
import platform
import shutil
import subprocess
from importlib import metadata
from typing import List, Set

from gluonnorm import __version__
from gluonnorm._runtime import (
    LARGEST_COPY,
    num_threads,
    physical_cores,
    preload_cuda,
    processor_name,
)
from gluonnorm.processor import FAST_INSTRUCTIONS, processor_instructions, slowness

MXNET_PACKAGES = ("mxnet", "mxnet-cu112")
PACKAGES = (
    *MXNET_PACKAGES,
    "gluoncv",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "scipy",
    "pillow",
    "opencv-python",
    "pycocotools",
    "matplotlib",
    "tqdm",
)
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "MXNET_CPU_PARALLEL_SIZE",
)
NOT_INSTALLED = "not installed"
# MXNet's CUDA 11 build holds machine code for these compute capabilities only, and no PTX for later
# ones.
SUPPORTED_CAPABILITIES = (5, 8)


def main() -> None:
    """Print versions, threads, number formats, CUDA libraries, and what is slow on this machine."""
    print(f"gluonnorm {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for package in PACKAGES:
        print(f"  {package:14} {installed_version(package)}")
    print(f"processor: {processor_name()}, {physical_cores()} physical cores for this process")
    for variable in THREAD_VARIABLES:
        print(f"  {variable} = {os.environ.get(variable, 'not set')}")
    instructions = processor_instructions()
    for number_format, fast in FAST_INSTRUCTIONS.items():
        present = ", ".join(sorted(fast & instructions))
        print(f"  {number_format:8} {'fast: ' + present if present else 'not accelerated'}")
    libraries = preload_cuda()
    print(f"CUDA libraries from wheels: {len(libraries) or 'none'}")
    for library in libraries:
        print(f"  {library}")
    gpus = gpu_descriptions()
    print(f"GPUs that the driver reports: {len(gpus) or 'none'}")
    for gpu in gpus:
        print(f"  {gpu}")
    problems = slow_here(instructions, gpus)
    print("slow or wrong here:" if problems else "slow or wrong here: nothing known")
    for problem in problems:
        print(f"  {problem}")


def installed_version(package: str) -> str:
    """The version of an installed package, or "not installed"."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED


def gpu_descriptions() -> List[str]:
    """One line a GPU, "name, compute capability", from NVIDIA's driver; empty without a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name,compute_cap", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True)
    return answer.stdout.strip().splitlines() if answer.returncode == 0 else []


def slow_here(instructions: Set[str], gpus: List[str]) -> List[str]:
    """Explain what is slow, or cannot run, in this process.

    Parameters
    ----------
    instructions : set of str
        As ``processor_instructions`` returns them.
    gpus : list of str
        As ``gpu_descriptions`` returns them.

    Returns
    -------
    list of str
        One sentence for each problem, with its reason and, where there is one, the way out.
    """
    problems = []
    for number_format in FAST_INSTRUCTIONS:
        reason = slowness(number_format, instructions)
        if reason:
            problems.append(f"{number_format}: {reason}")
    numpy_version = installed_version("numpy")
    has_mxnet = any(installed_version(package) != NOT_INSTALLED for package in MXNET_PACKAGES)
    if has_mxnet and not numpy_version.startswith("1."):
        problems.append(
            f"numpy {numpy_version}: MXNet cannot be imported with it; pip install 'numpy<1.24' "
            "(on Python 3.12 'numpy<2')"
        )
    threads = num_threads()
    cores = physical_cores()
    if 0 < threads < cores:
        problems.append(
            f"OMP_NUM_THREADS is {threads}, but this process may use {cores} physical cores"
        )
    if threads > cores:
        problems.append(
            f"OMP_NUM_THREADS is {threads}, more than the {cores} physical cores that this "
            "process may use, so threads wait for each other"
        )
    copy_size = os.environ["MXNET_CPU_PARALLEL_SIZE"]
    if copy_size.isdecimal() and int(copy_size) < LARGEST_COPY:
        problems.append(
            f"MXNET_CPU_PARALLEL_SIZE is {copy_size}: copies of larger arrays start threads of "
            "their own, after which box_nms takes up to ten times as long; unset it"
        )
    lowest, highest = SUPPORTED_CAPABILITIES
    for gpu in gpus:
        major = gpu.rpartition(",")[2].strip().partition(".")[0]
        if major.isdecimal() and not lowest <= int(major) <= highest:
            problems.append(
                f"{gpu}: MXNet's CUDA build has no code for this GPU, only for compute "
                f"capabilities {lowest}.0 to {highest}.9"
            )
    return problems


if __name__ == "__main__":
    main()
