"""Install gluonnorm. MXNet is chosen by extra: ``pip install -e '.[cpu]'`` or ``'.[cu112]'``."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def read_version() -> str:
    """Read the version from the package without importing it, since NumPy may not be installed
    yet."""
    text = (HERE / "gluonnorm" / "__init__.py").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise RuntimeError("gluonnorm/__init__.py has no line that starts with __version__")


# What a Predictor needs beside its run time. A machine that only serves a model installs this and
# MXNet, or the extra "onnx".
SERVING = [
    "numpy",
    "pillow>=10.1",  # visualize/ scales Pillow's own font, which needs 10.1
    "tqdm",
    "setuptools; python_version >= '3.12'",  # has the distutils that MXNet 1.9.1 imports
]

# MXNet 1.9.1 works with no NumPy that Python 3.13 has. No version is 1.9.1 and older than 1.9.1, so
# pip ends there with an error that names MXNet, in place of compiling an old NumPy.
MXNET_NEEDS_OLDER_PYTHON = "mxnet==1.9.1,<1.9.1; python_version >= '3.13'"

# What training, evaluation, the scripts and GluonCV's data sets need beside MXNet.
TRAINING = [
    # GluonCV uses names that NumPy 1.24 dropped. Python 3.12 has no older NumPy, so there
    # gluonnorm/_runtime.py restores the names.
    "numpy<1.24; python_version < '3.12'",
    "numpy==1.26.*; python_version == '3.12'",
    "gluoncv==0.10.5.post0",
    "scipy<1.16",  # GluonCV names no version, and later ones need a newer NumPy
    "opencv-python<4.12",  # likewise
    "matplotlib",
    "pycocotools",
]

# MXNet for NVIDIA GPUs of compute capability 5.0 to 8.9, with the CUDA 11 libraries that it is
# linked against.
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
    "nvidia-cudnn-cu11==8.9.6.50",  # MXNet asks for libcudnn.so.8, so nothing from 9 on
    "nvidia-nccl-cu11==2.21.5",
]

# What scripts/benchmark.py measures beside this package. It can live in another environment
# (--peer-python). The first two belong together, need Python 3.9, and gave the answers in
# tests/golden. The others run their ONNX files and those of this package.
PEERS = ["torch==2.6.0", "torchvision==0.21.0", "onnx", "onnxruntime", "openvino", "nncf"]

# onnx needs ml_dtypes, whose version 0.6 would bring NumPy 2 into an environment with MXNet.
BEFORE_NUMPY_2 = "ml_dtypes<0.6; python_version < '3.13'"

# What writes ONNX files (onnx) and runs them (onnxruntime). Both work beside MXNet and NumPy 1.23,
# and without MXNet, with NumPy 2 and on any later Python. demo.py encodes masks with pycocotools.
ONNX = ["onnx>=1.16", BEFORE_NUMPY_2, "onnxruntime>=1.19", "pycocotools"]

# The same for NVIDIA GPUs, also those that are newer than MXNet's CUDA 11, with the libraries of
# CUDA and cuDNN; the driver is the system's. onnxruntime-gpu and onnxruntime have the same files,
# so an environment has one of them: this extra, or "onnx" and the extras that contain it. The
# extras of onnxruntime-gpu begin with 1.21, which needs Python 3.10.
ONNX_GPU = ["onnx>=1.16", BEFORE_NUMPY_2, "onnxruntime-gpu[cuda,cudnn]>=1.21", "pycocotools"]

# What scripts/serve.py needs beside a run time.
SERVE = [
    "fastapi>=0.110",
    "uvicorn>=0.30",
    "python-multipart>=0.0.13",  # the first one that is imported as python_multipart
    "prometheus_client>=0.20",
    "pycocotools",
]

# What runs ONNX files in OpenVINO, and writes OpenVINO's own files beside MXNet.
OPENVINO = ["onnx>=1.16", BEFORE_NUMPY_2, "openvino>=2024.4", "pycocotools"]

# What train_faster_rcnn.py --tensorboard writes with. TensorBoard itself may live elsewhere.
TENSORBOARD = ["tensorboardX>=2.5"]

# What quantizes OpenVINO's files. From version 2.15 on, nncf needs NumPy 1.24, which MXNet has on
# Python 3.12 alone; version 2.14 imports what OpenVINO 2026 no longer has.
OPENVINO_INT8 = [
    *OPENVINO,
    "openvino<2026; python_version < '3.12'",
    "nncf==2.14.1; python_version < '3.12'",
    "nncf>=3; python_version >= '3.12'",
]

# What `make docs` builds the site with. Of each, the first version is the last one for Python 3.8.
DOCS = ["sphinx>=7.1.2,<10", "furo>=2024.8.6,<2027", "myst-parser>=3.0.1,<6"]

setup(
    name="gluonnorm",
    version=read_version(),
    description="Two-stage object detection on MXNet Gluon, in which normalization is a choice",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The gluonnorm authors",
    license="MIT",
    license_files=["LICENSE"],
    keywords="object detection, Faster R-CNN, Mask R-CNN, MXNet, Gluon, normalization",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: MIT License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.8",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["gluonnorm", "gluonnorm.*", "model_zoo", "model_zoo.*"]),
    package_data={"gluonnorm": ["py.typed"], "model_zoo": ["py.typed"]},
    zip_safe=False,
    python_requires=">=3.8",
    install_requires=SERVING,
    extras_require={
        "cpu": ["mxnet==1.9.1; python_version < '3.13'", MXNET_NEEDS_OLDER_PYTHON, *TRAINING],
        "cu112": [*CUDA, MXNET_NEEDS_OLDER_PYTHON, *TRAINING],
        "onnx": ONNX,
        "onnx-gpu": ONNX_GPU,
        "serve": SERVE,
        "openvino": OPENVINO,
        "tensorboard": TENSORBOARD,
        "openvino-int8": OPENVINO_INT8,
        "peers": PEERS,
        "docs": DOCS,
        "test": [
            "pytest>=8",
            "pytest-xdist",
            "ruff==0.17.6",
            "mypy",
            *ONNX,
            *OPENVINO,
            *SERVE,
            *TENSORBOARD,
            *DOCS,
            # The last versions for Python 3.8 (0.25) and those that declare all they need.
            "supervision>=0.25,<0.27",
        ],
    },
)
