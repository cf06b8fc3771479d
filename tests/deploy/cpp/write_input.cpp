// Write what a network would get for photos.
//
//   write-input <manifest> <photo>... <output>
//
// For each photo, the output file gets height and width of the input (int64 each), and then its
// float32 values (3, height, width).
#include <exception>
#include <fstream>
#include <iostream>

#include "detections.h"
#include "files.h"

int main(int argument_count, char** arguments) {
  try {
    const std::string manifest_path = arguments[1];
    const Manifest manifest = parse_manifest(read_file(manifest_path), manifest_path);
    std::ofstream output(arguments[argument_count - 1], std::ios::binary);
    for (int index = 2; index < argument_count - 1; ++index) {
      const Tensor input = network_input(read_photo(arguments[index]), manifest);
      output.write(reinterpret_cast<const char*>(&input.shape[2]), 2 * sizeof(int64_t));
      output.write(reinterpret_cast<const char*>(input.values.data()),
                   static_cast<std::streamsize>(input.values.size() * sizeof(float)));
    }
    return output ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << std::endl;
    return 1;
  }
}
