// The back end that runs an ONNX file in onnxruntime, through its C++ API.

// The library may be of another version than the headers. Without this, the first call would crash
// if it is older than they are.
#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

#include <cstdlib>

#include "backend.h"
#include "error.h"
#include "files.h"

namespace {

const char* const ONNX_SUFFIX = ".onnx";
// An output that only serves to count photos with too many candidates.
const char* const CANDIDATES = "candidates";
const char* const MANIFEST_KEY = "manifest";  // in the metadata of the file

void load_api() {
  const OrtApi* api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  if (api == nullptr) {
    throw UserError(std::string("the library of onnxruntime is of version ") +
                    OrtGetApiBase()->GetVersionString() + ", older than 1." +
                    std::to_string(ORT_API_VERSION) + " of the headers; install a newer one");
  }
  Ort::InitApi(api);
}

Ort::SessionOptions session_options() {
  Ort::SessionOptions options;
  // onnxruntime takes all cores. The variable is the one that MXNet obeys.
  const char* thread_count = std::getenv("OMP_NUM_THREADS");
  if (thread_count != nullptr && std::atoi(thread_count) > 0) {
    options.SetIntraOpNumThreads(std::atoi(thread_count));
  }
  return options;
}

class OnnxRuntimeBackend : public Backend {
 public:
  explicit OnnxRuntimeBackend(const std::string& path)
      : environment_(ORT_LOGGING_LEVEL_FATAL),
        session_(environment_, path.c_str(), session_options()) {
    if (session_.GetInputCount() != 1) {
      throw UserError(path + " has " + std::to_string(session_.GetInputCount()) +
                      " inputs, and a detector has one; export again");
    }
    Ort::AllocatorWithDefaultOptions allocator;
    input_name_ = session_.GetInputNameAllocated(0, allocator).get();
    for (size_t index = 0; index < session_.GetOutputCount(); ++index) {
      const std::string name = session_.GetOutputNameAllocated(index, allocator).get();
      if (name != CANDIDATES) {
        output_names_.push_back(name);
      }
    }
  }

  // The manifest in the metadata of the file; "" if there is none.
  std::string manifest_text() const {
    Ort::AllocatorWithDefaultOptions allocator;
    const Ort::ModelMetadata metadata = session_.GetModelMetadata();
    const auto text = metadata.LookupCustomMetadataMapAllocated(MANIFEST_KEY, allocator);
    return text == nullptr ? "" : text.get();
  }

  std::vector<Tensor> run(const Tensor& input) override {
    const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    // onnxruntime does not change the input, although its type allows it.
    auto* values = const_cast<float*>(input.values.data());
    const Ort::Value bound = Ort::Value::CreateTensor<float>(
        memory, values, input.values.size(), input.shape.data(), input.shape.size());
    const char* input_name = input_name_.c_str();
    std::vector<const char*> output_names;
    for (const std::string& name : output_names_) {
      output_names.push_back(name.c_str());
    }
    try {
      return copies(session_.Run(Ort::RunOptions{nullptr}, &input_name, &bound, 1,
                                 output_names.data(), output_names.size()));
    } catch (const Ort::Exception& error) {
      throw UserError("onnxruntime: " + first_line(error.what()));
    }
  }

 private:
  static std::vector<Tensor> copies(const std::vector<Ort::Value>& outputs) {
    std::vector<Tensor> tensors;
    for (const Ort::Value& output : outputs) {
      const Ort::TensorTypeAndShapeInfo info = output.GetTensorTypeAndShapeInfo();
      const float* values = output.GetTensorData<float>();
      tensors.push_back({info.GetShape(), {values, values + info.GetElementCount()}});
    }
    return tensors;
  }

  Ort::Env environment_;
  Ort::Session session_;
  std::string input_name_;
  std::vector<std::string> output_names_;
};

std::unique_ptr<OnnxRuntimeBackend> open(const std::string& path) {
  try {
    return std::make_unique<OnnxRuntimeBackend>(path);
  } catch (const Ort::Exception& error) {
    throw UserError(path + " cannot be loaded (" + first_line(error.what()) +
                    "); export again, or install a newer onnxruntime");
  }
}

}  // namespace

Network load_network(const std::string& prefix) {
  load_api();
  const std::string path = prefix + ONNX_SUFFIX;
  Network network;
  // The manifest beside the file has its checksum. The file alone is enough, too.
  if (is_file(prefix + ".json") || !is_file(path)) {
    network.manifest = read_manifest(prefix, {{"onnx", ONNX_SUFFIX}});
    network.backend = open(path);
    return network;
  }
  std::unique_ptr<OnnxRuntimeBackend> backend = open(path);
  const std::string text = backend->manifest_text();
  if (text.empty()) {
    throw UserError(path + " has no manifest in its metadata, so it is no export of gluonnorm");
  }
  network.manifest = parse_manifest(text, "the metadata of " + path);
  network.backend = std::move(backend);
  return network;
}
