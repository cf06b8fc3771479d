"""The GPU that a caller names is used, or it is an error that says what to do."""

import sys
from types import SimpleNamespace

from gluonnorm.deploy import DeployError, Predictor, export
from gluonnorm.errors import InputError

import mxnet as mx
import pytest
from in_process import run_script
from optional_packages import require
from tiny_detector import tiny_detector

without_gpu = pytest.mark.skipif(mx.context.num_gpus() > 0, reason="MXNet sees a GPU")


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    require("onnx")
    prefix = str(tmp_path_factory.mktemp("gpu") / "net")
    export(tiny_detector("c4"), prefix, format="onnx")
    return prefix


class FakeOnnxRuntime:
    """onnxruntime with CUDA, as far as the back end sees it, on a machine of one GPU.

    Parameters
    ----------
    missing_libraries : bool
        Whether CUDA's libraries are missing. onnxruntime then takes the CPU.
    """

    __version__ = "1.31.1"
    SessionOptions = SimpleNamespace

    def __init__(self, missing_libraries=False):
        self.missing_libraries = missing_libraries
        self.calls = []
        self.levels = []

    def get_available_providers(self):
        return ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]

    def set_default_logger_severity(self, level):
        self.levels.append(level)

    def preload_dlls(self):
        if self.missing_libraries:
            print("Failed to load libcublasLt.so.13: cannot open shared object file")
            print("Failed to load libcublas.so.13: cannot open shared object file")

    def InferenceSession(self, path, options, providers, **arguments):
        (provider, settings), last = providers
        self.calls.append((provider, settings, last, arguments))
        if settings["device_id"] != "0":
            raise RuntimeError(f"/source{'/of' * 99}.cc: Invalid device ID: 1, must\n be 0")
        used = ["CPUExecutionProvider"]
        if not self.missing_libraries:
            used.insert(0, provider)
        return SimpleNamespace(
            get_providers=lambda: used,
            get_inputs=lambda: [SimpleNamespace(name="data")],
            get_outputs=lambda: [SimpleNamespace(name=name) for name in ("ids", "scores", "boxes")],
            get_modelmeta=lambda: SimpleNamespace(custom_metadata_map={}),
        )


def with_fake(monkeypatch, **options):
    require("onnxruntime")
    fake = FakeOnnxRuntime(**options)
    # The module is imported by its name, when a predictor needs it.
    backend = pytest.importorskip("gluonnorm.deploy.backends.onnxruntime_backend")
    monkeypatch.setattr(backend, "onnxruntime", fake)
    return fake


def test_onnxruntime_gets_the_gpu_and_exact_float32(prefix, monkeypatch):
    fake = with_fake(monkeypatch)
    Predictor(prefix, backend="onnxruntime", gpu=0)
    ((provider, settings, last, arguments),) = fake.calls
    assert (provider, last) == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert settings["device_id"] == "0" and settings["use_tf32"] == "0"
    assert arguments == {"enable_fallback": 0}
    assert fake.levels == [3, 2]


@pytest.mark.parametrize(
    "gpu, options, reason",
    [
        (0, {"missing_libraries": True}, r"\(Failed to load libcublasLt.so.13: [^\n]*\)"),
        (1, {}, r"\(.*Invalid device ID: 1, must be 0\)"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_an_error(prefix, monkeypatch, capfd, gpu, options, reason):
    with_fake(monkeypatch, **options)
    message = rf"onnxruntime cannot use GPU {gpu} {reason}; .* 'gluonnorm\[onnx-gpu\]'$"
    with pytest.raises(DeployError, match=message):
        Predictor(prefix, backend="onnxruntime", gpu=gpu)
    assert capfd.readouterr() == ("", "")


def test_an_onnxruntime_without_cuda_names_the_other_package(prefix):
    require("onnxruntime")
    if "CUDAExecutionProvider" in sys.modules["onnxruntime"].get_available_providers():
        pytest.skip("onnxruntime-gpu is installed")
    with pytest.raises(DeployError, match="pip uninstall onnxruntime, then .*onnx-gpu") as caught:
        Predictor(prefix, backend="onnxruntime", gpu=0)
    assert "CPUExecutionProvider alone" in str(caught.value)


@without_gpu
def test_mxnet_without_the_gpu_is_an_error(prefix):
    with pytest.raises(DeployError, match=r"gpu is 0, and MXNet .* sees 0 GPUs; .*\[cu112\]"):
        Predictor(prefix, backend="mxnet", gpu=0)


def test_openvino_has_no_gpu_here(prefix):
    require("openvino")
    with pytest.raises(InputError, match="gpu is 0 for OpenVINO, .* backend='onnxruntime'"):
        Predictor(prefix, backend="openvino", gpu=0)


@pytest.mark.parametrize("gpu", [-1, 1.5, True, "0", "cuda:0"])
def test_a_wrong_number(prefix, gpu):
    with pytest.raises(InputError, match="want the number of a GPU"):
        Predictor(prefix, gpu=gpu)


def test_a_context_and_a_gpu_at_once(prefix):
    with pytest.raises(InputError, match=r"gpu is 0 and ctx is cpu\(0\); give one of them"):
        Predictor(prefix, ctx=mx.cpu(), gpu=0)


@without_gpu
@pytest.mark.parametrize(
    "run_time, gpus, message",
    [
        ("onnxruntime", "0,1", "--gpus is '0,1'; want one number"),
        ("onnxruntime", "x", "--gpus is 'x'; want numbers with commas"),
        ("onnxruntime", "-1", "gpu is -1; want the number"),
        ("mxnet", "0", "backend='onnxruntime' runs ONNX files on newer ones"),
        ("mxnet", "0,1", "--gpus is '0,1'; want one number"),
    ],
)
def test_scripts_hand_the_gpu_over(prefix, tmp_path, run_time, gpus, message):
    require("onnxruntime")
    (tmp_path / "photo.png").touch()
    flags = ("--exported", prefix, "--backend", run_time, "--gpus", gpus)
    done = run_script("demo.py", tmp_path / "photo.png", *flags)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ") and message in done.stderr


@pytest.mark.parametrize("model", ["--exported", "--params"])
def test_a_script_that_uses_one_gpu_takes_one(tmp_path, model):
    """MXNet would load the network on both, and use the first one."""
    (tmp_path / "photo.png").touch()
    calls = [("demo.py", tmp_path / "photo.png", model, "net")]
    if model == "--exported":
        calls.append(("serve.py", "--port", 0, model, "net"))
    for call in calls:
        done = run_script(*call, "--gpus", "0,1")
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert done.stderr.startswith("error: --gpus is '0,1'; want one number, because this")
