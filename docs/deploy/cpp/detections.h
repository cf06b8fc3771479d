// The way in, from a photo to the input of a network, and the way back, from the network's outputs
// to detections in the photo's own pixels.
#pragma once

#include <array>
#include <vector>

#include "backend.h"
#include "manifest.h"
#include "paste_masks.h"
#include "photo.h"

using Box = std::array<float, 4>;  // x1, y1, x2, y2

// One object on a photo.
struct Detection {
  int class_id = 0;
  float score = 0;
  Box box = {};  // in the photo's pixels
  bool has_mask = false;
  Mask mask;
};

// Resize and normalize a photo as a manifest says: (1, 3, height, width).
Tensor network_input(const Photo& photo, const Manifest& manifest);

// Convert the network's outputs for a photo to detections, best first. Rows of padding are dropped,
// and so are boxes without any area inside the photo. `input` is what the network got. UserError if
// the outputs are not those of a detector.
std::vector<Detection> detections_in_photo(const std::vector<Tensor>& outputs, const Tensor& input,
                                           const Photo& photo, const Manifest& manifest);
