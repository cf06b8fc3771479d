// A detector's exported files through MXNet's C predict API: predict <prefix> <batch> <height> <width> <input> <output>.
// The input is a file of float32, (batch, 3, height, width); to the output file go, for each output of the network,
// its number of axes, its shape (uint32 each) and its float32 values. The input is run twice, the second answer written.
#include <cstdint>  // before MXNet's header, which uses its types

#include <mxnet/c_api.h>
#include <mxnet/c_predict_api.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

static void check(int status) {
  if (status != 0) {
    std::cerr << MXGetLastError() << std::endl;
    std::exit(1);
  }
}

static std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::cerr << path << " cannot be read" << std::endl;
    std::exit(1);
  }
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

int main(int count, char** words) {
  if (count != 7) {
    std::cerr << "usage: predict <prefix> <batch> <height> <width> <input> <output>" << std::endl;
    return 2;
  }
  const std::string prefix = words[1], input = read(words[5]);
  const std::string symbol = read(prefix + "-symbol.json"), parameters = read(prefix + "-0000.params");
  const uint32_t shape[] = {static_cast<uint32_t>(std::atoi(words[2])), 3, static_cast<uint32_t>(std::atoi(words[3])),
                            static_cast<uint32_t>(std::atoi(words[4]))};
  const uint32_t ends[] = {0, 4};
  const char* names[] = {"data"};
  const int cpu = 1;
  const uint32_t size = shape[0] * shape[1] * shape[2] * shape[3];
  if (input.size() != size * sizeof(float)) {
    std::cerr << words[5] << " has " << input.size() << " bytes, not " << size * sizeof(float) << std::endl;
    return 1;
  }

  PredictorHandle predictor = nullptr;
  check(MXPredCreate(symbol.c_str(), parameters.data(), static_cast<int>(parameters.size()), cpu, 0, 1, names, ends,
                     shape, &predictor));
  for (int run = 0; run < 2; ++run) {
    check(MXPredSetInput(predictor, "data", reinterpret_cast<const float*>(input.data()), size));
    check(MXPredForward(predictor));
  }
  std::ofstream output(words[6], std::ios::binary);
  for (uint32_t i = 0;; ++i) {
    uint32_t* sides = nullptr;
    uint32_t axes = 0;
    if (MXPredGetOutputShape(predictor, i, &sides, &axes) != 0) break;  // there is no output i
    uint32_t values = 1;
    for (uint32_t axis = 0; axis < axes; ++axis) values *= sides[axis];
    output.write(reinterpret_cast<const char*>(&axes), sizeof(axes));
    output.write(reinterpret_cast<const char*>(sides), axes * sizeof(*sides));
    std::vector<float> array(values);
    check(MXPredGetOutput(predictor, i, array.data(), values));
    output.write(reinterpret_cast<const char*>(array.data()), values * sizeof(float));
  }
  check(MXPredFree(predictor));
  check(MXNotifyShutdown());  // freed layers are deleted by a thread, which would crash in a process that is ending
  return output ? 0 : 1;
}
