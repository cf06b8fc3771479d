// The back end that runs the files of MXNet through its C predict API.

// MXNet's header uses the types of this one and does not include it.
#include <cstdint>

#include <mxnet/c_api.h>
#include <mxnet/c_predict_api.h>

#include <cstdlib>

#include "backend.h"
#include "error.h"
#include "files.h"

namespace {

const char* const SYMBOL_SUFFIX = "-symbol.json";
const char* const PARAMETERS_SUFFIX = "-0000.params";
constexpr int CPU = 1;  // MXNet's device type

// Raise UserError with MXNet's message if a call of its API has failed.
void check(int status) {
  if (status != 0) {
    throw UserError("MXNet: " + first_line(MXGetLastError()));
  }
}

class MxnetBackend : public Backend {
 public:
  MxnetBackend(const std::string& prefix, std::string input_name)
      : symbol_(read_file(prefix + SYMBOL_SUFFIX)),
        parameters_(read_file(prefix + PARAMETERS_SUFFIX)),
        input_name_(std::move(input_name)) {
    // MXNet would print a line about oneDNN.
    setenv("MXNET_SUBGRAPH_VERBOSE", "0", /*overwrite=*/0);
    // Otherwise large arrays are copied by threads of their own, beside those of MXNet's engine,
    // and suppression becomes up to ten times as slow: see docs/exported_files.md.
    setenv("MXNET_CPU_PARALLEL_SIZE", "2147483647", /*overwrite=*/0);
  }

  ~MxnetBackend() override {
    if (predictor_ != nullptr) {
      MXPredFree(predictor_);
    }
    // MXNet deletes freed layers on a thread of its own. Without this call, the thread would run
    // on while the process ends, and crash.
    MXNotifyShutdown();
  }
  MxnetBackend(const MxnetBackend&) = delete;
  MxnetBackend& operator=(const MxnetBackend&) = delete;

  std::vector<Tensor> run(const Tensor& input) override {
    if (input.shape != bound_shape_) {
      bind(input.shape);
    }
    check(MXPredSetInput(predictor_, input_name_.c_str(), input.values.data(),
                         static_cast<uint32_t>(input.values.size())));
    check(MXPredForward(predictor_));
    std::vector<Tensor> outputs;
    uint32_t* shape = nullptr;
    uint32_t axis_count = 0;
    // The API does not tell the number of outputs. It fails at the first index that has none.
    while (MXPredGetOutputShape(predictor_, static_cast<uint32_t>(outputs.size()), &shape,
                                &axis_count) == 0) {
      outputs.push_back(read_output(static_cast<uint32_t>(outputs.size()), shape, axis_count));
    }
    return outputs;
  }

 private:
  // Make the buffers for an input of another shape. The weights are shared with the ones before.
  void bind(const std::vector<int64_t>& shape) {
    const char* input_names[] = {input_name_.c_str()};
    const std::vector<uint32_t> lengths(shape.begin(), shape.end());
    // The shapes of all inputs are in one array; input i has the lengths from shape_ends[i] to
    // shape_ends[i + 1]. There is one input.
    const uint32_t shape_ends[] = {0, static_cast<uint32_t>(lengths.size())};
    PredictorHandle bound = nullptr;
    if (predictor_ == nullptr) {
      const int device_id = 0;
      check(MXPredCreate(symbol_.c_str(), parameters_.data(), static_cast<int>(parameters_.size()),
                         CPU, device_id, 1, input_names, shape_ends, lengths.data(), &bound));
    } else {
      check(MXPredReshape(1, input_names, shape_ends, lengths.data(), predictor_, &bound));
      check(MXPredFree(predictor_));
    }
    predictor_ = bound;
    bound_shape_ = shape;
  }

  Tensor read_output(uint32_t index, const uint32_t* shape, uint32_t axis_count) {
    Tensor output;
    output.shape.assign(shape, shape + axis_count);
    size_t value_count = 1;
    for (int64_t length : output.shape) {
      value_count *= static_cast<size_t>(length);
    }
    output.values.resize(value_count);
    check(MXPredGetOutput(predictor_, index, output.values.data(),
                          static_cast<uint32_t>(value_count)));
    return output;
  }

  const std::string symbol_;
  const std::string parameters_;
  const std::string input_name_;
  PredictorHandle predictor_ = nullptr;
  std::vector<int64_t> bound_shape_;
};

}  // namespace

Network load_network(const std::string& prefix) {
  Network network;
  network.manifest =
      read_manifest(prefix, {{"symbol", SYMBOL_SUFFIX}, {"params", PARAMETERS_SUFFIX}});
  network.backend = std::make_unique<MxnetBackend>(prefix, network.manifest.input_name);
  return network;
}
