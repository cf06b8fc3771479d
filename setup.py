"""Install gluonnorm. MXNet is chosen by extra: ``pip install -e '.[cpu]'`` or ``'.[cu112]'``."""
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
INIT = (HERE / "gluonnorm" / "__init__.py").read_text(encoding="utf-8")
VERSION = next(line.split('"')[1] for line in INIT.splitlines() if line.startswith("__version__"))
README = HERE / "README.md"

CORE = [
    # MXNet 1.9.1 uses names that NumPy 1.24 dropped; Python 3.12 has no older NumPy, so there
    # gluonnorm/_runtime.py sets the names, and setuptools brings back the distutils MXNet imports.
    "numpy<1.24; python_version < '3.12'",
    "numpy==1.26.*; python_version >= '3.12'",
    "setuptools; python_version >= '3.12'",
    "gluoncv==0.10.5.post0",
    "opencv-python<4.12",  # of gluoncv; later ones want NumPy 2
    "matplotlib",
    "pillow",
    "pycocotools",
    "tqdm",
]

# MXNet for NVIDIA GPUs of compute capability 5.0 to 8.9, with the CUDA 11 run time it is linked against.
CUDA = [
    "mxnet-cu112==1.9.1",
    "nvidia-cuda-runtime-cu11==11.8.89",
    "nvidia-cuda-nvrtc-cu11==11.8.89",
    "nvidia-nvtx-cu11==11.8.86",
    "nvidia-cublas-cu11==11.11.3.6",
    "nvidia-cufft-cu11==10.9.0.58",
    "nvidia-curand-cu11==10.3.0.86",
    "nvidia-cusolver-cu11==11.4.1.48",
    "nvidia-cusparse-cu11==11.7.5.86",
    "nvidia-cudnn-cu11==8.9.6.50",  # the library asks for libcudnn.so.8: nothing from 9 on
    "nvidia-nccl-cu11==2.21.5",
]

# What scripts/benchmark.py measures beside this package; it can live in another environment (--peer-python).
# These two belong together, need Python 3.9, and gave the answers in tests/golden.
PEERS = ["torch==2.6.0", "torchvision==0.21.0"]

setup(
    name="gluonnorm",
    version=VERSION,
    description="Two-stage object detection on MXNet Gluon, in which normalization is a choice",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["gluonnorm", "gluonnorm.*", "model_zoo", "model_zoo.*"]),
    python_requires=">=3.8,<3.13",
    install_requires=CORE,
    extras_require={"cpu": ["mxnet==1.9.1"], "cu112": CUDA, "peers": PEERS, "test": ["pytest>=8", "ruff", "mypy"]},
)
