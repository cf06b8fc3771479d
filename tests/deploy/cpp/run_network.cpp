// Run an exported network on arrays, without photos.
//
//   run-mxnet <prefix> <batch> <height> <width> <input> <output>
//
// The input file holds (batch, 3, height, width) float32. For each output of the network, the
// output file gets its number of axes and its shape (int64 each), and then its float32 values. The
// network runs twice, and the second answer is written: a state that is left over from the first
// run would show.
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>

#include "backend.h"
#include "files.h"

int main(int, char** arguments) {
  try {
    Tensor input;
    input.shape = {std::stoll(arguments[2]), 3, std::stoll(arguments[3]), std::stoll(arguments[4])};
    const std::string content = read_file(arguments[5]);
    input.values.resize(content.size() / sizeof(float));
    std::memcpy(input.values.data(), content.data(), content.size());
    const Network network = load_network(arguments[1]);
    network.backend->run(input);
    std::ofstream output(arguments[6], std::ios::binary);
    for (const Tensor& tensor : network.backend->run(input)) {
      const auto axis_count = static_cast<int64_t>(tensor.shape.size());
      output.write(reinterpret_cast<const char*>(&axis_count), sizeof(axis_count));
      output.write(reinterpret_cast<const char*>(tensor.shape.data()),
                   static_cast<std::streamsize>(axis_count * sizeof(int64_t)));
      output.write(reinterpret_cast<const char*>(tensor.values.data()),
                   static_cast<std::streamsize>(tensor.values.size() * sizeof(float)));
    }
    return output ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return 1;
  }
}
