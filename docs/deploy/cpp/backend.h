// What runs an exported network. mxnet_backend.cpp and onnxruntime_backend.cpp each implement it,
// and a program is linked with one of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "manifest.h"

// An array of floats.
struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // Run the network on an input of (1, 3, height, width), and return its outputs in their order.
  // The size may change from call to call. UserError if the network takes no input of this size.
  virtual std::vector<Tensor> run(const Tensor& input) = 0;
};

// An exported network, ready to run.
struct Network {
  Manifest manifest;
  std::unique_ptr<Backend> backend;
};

// Load the network whose files begin with `prefix`. UserError if it cannot be loaded.
Network load_network(const std::string& prefix);
