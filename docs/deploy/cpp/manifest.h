// The manifest of an exported network, <prefix>.json: how photos become its input, and what its
// outputs mean.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "resize.h"

// How the small masks of a network become masks of the photo, see paste_masks.h.
enum class MaskPaste { SAMPLE, EXPAND, ROUND };

struct Manifest {
  std::vector<std::string> classes;  // names in the order of the ids
  std::string input_name;

  // The size and the pixels of the network's input.
  int short_side = 800;
  int max_size = 1333;
  Rounding rounding = Rounding::NEAREST;
  ResizeMethod resize = ResizeMethod::PIXEL;
  bool is_blue_first = false;
  bool is_normalized = true;
  // Of red, green and blue, in 0..255.
  std::array<float, CHANNELS> mean = {123.675f, 116.28f, 103.53f};
  std::array<float, CHANNELS> standard_deviation = {58.395f, 57.12f, 57.375f};

  // Whether the far corner of a box is the last pixel that belongs to it.
  bool is_inclusive = false;
  MaskPaste mask_paste = MaskPaste::SAMPLE;
};

// A file that a manifest describes: the key of its checksum, such as "params", and the end of its
// name, such as "-0000.params".
struct DescribedFile {
  std::string checksum_key;
  std::string suffix;
};

// Read <prefix>.json, and verify that it was not altered and that it describes the files with these
// endings. UserError if a file is missing, was altered, or is none of an exported network.
Manifest read_manifest(const std::string& prefix, const std::vector<DescribedFile>& files);

// Read a manifest that is a part of another file. `source` is where it is from, for messages.
Manifest parse_manifest(const std::string& text, const std::string& source);
