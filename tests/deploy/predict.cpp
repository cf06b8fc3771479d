// Run exported files of a detector through MXNet's C predict API.
//
//   predict <prefix> <batch> <height> <width> <input> <output>
//
// The input file holds (batch, 3, height, width) float32. For each output of the network, the
// output file gets its number of axes and its shape (uint32 each), and then its float32 values.
// The network runs twice, and the second answer is written: a state that is left over from the
// first run would show.
#include <cstdint>  // MXNet's header uses its types and does not include it

#include <mxnet/c_api.h>
#include <mxnet/c_predict_api.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

const int CPU = 1;  // MXNet's device type

// End the program with MXNet's message if a call of its API has failed.
static void check(int status) {
  if (status != 0) {
    std::cerr << MXGetLastError() << std::endl;
    std::exit(1);
  }
}

// Read a file completely.
static std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::cerr << path << " cannot be read" << std::endl;
    std::exit(1);
  }
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

// Write one output of the network: number of axes, shape, values.
static void write_output(PredictorHandle predictor, uint32_t index, const uint32_t* shape,
                         uint32_t axis_count, std::ofstream* file) {
  uint32_t value_count = 1;
  for (uint32_t axis = 0; axis < axis_count; ++axis) {
    value_count *= shape[axis];
  }
  std::vector<float> values(value_count);
  check(MXPredGetOutput(predictor, index, values.data(), value_count));
  file->write(reinterpret_cast<const char*>(&axis_count), sizeof(axis_count));
  file->write(reinterpret_cast<const char*>(shape), axis_count * sizeof(*shape));
  file->write(reinterpret_cast<const char*>(values.data()), value_count * sizeof(float));
}

int main(int argument_count, char** arguments) {
  if (argument_count != 7) {
    std::cerr << "usage: predict <prefix> <batch> <height> <width> <input> <output>" << std::endl;
    return 2;
  }
  const std::string prefix = arguments[1];
  const uint32_t batch = static_cast<uint32_t>(std::atoi(arguments[2]));
  const uint32_t height = static_cast<uint32_t>(std::atoi(arguments[3]));
  const uint32_t width = static_cast<uint32_t>(std::atoi(arguments[4]));
  const std::string input_path = arguments[5];
  const std::string output_path = arguments[6];

  const std::string symbol = read_file(prefix + "-symbol.json");
  const std::string parameters = read_file(prefix + "-0000.params");
  const std::string input = read_file(input_path);
  const uint32_t value_count = batch * 3 * height * width;
  if (input.size() != value_count * sizeof(float)) {
    std::cerr << input_path << " has " << input.size() << " bytes, not "
              << value_count * sizeof(float) << std::endl;
    return 1;
  }

  // The network has one input, "data". The shapes of all inputs are in one array; input i has the
  // sides from shape_ends[i] to shape_ends[i + 1].
  const uint32_t input_count = 1;
  const char* input_names[] = {"data"};
  const uint32_t shape_ends[] = {0, 4};
  const uint32_t input_shape[] = {batch, 3, height, width};
  const int device_id = 0;
  PredictorHandle predictor = nullptr;
  check(MXPredCreate(symbol.c_str(), parameters.data(), static_cast<int>(parameters.size()), CPU,
                     device_id, input_count, input_names, shape_ends, input_shape, &predictor));
  for (int run = 0; run < 2; ++run) {
    check(MXPredSetInput(predictor, "data", reinterpret_cast<const float*>(input.data()),
                         value_count));
    check(MXPredForward(predictor));
  }

  std::ofstream output(output_path, std::ios::binary);
  for (uint32_t index = 0;; ++index) {
    uint32_t* shape = nullptr;
    uint32_t axis_count = 0;
    // The API does not tell the number of outputs. It fails at the first index that has none.
    if (MXPredGetOutputShape(predictor, index, &shape, &axis_count) != 0) {
      break;
    }
    write_output(predictor, index, shape, axis_count, &output);
  }
  check(MXPredFree(predictor));
  // MXNet deletes freed layers on a thread of its own. Without this call, the thread would run on
  // while the process ends, and crash.
  check(MXNotifyShutdown());
  return output ? 0 : 1;
}
