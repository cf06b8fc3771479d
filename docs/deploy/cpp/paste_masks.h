// The small masks of a network become masks of the photo.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "manifest.h"
#include "photo.h"

// A mask: the pixels of an object. Outside of this rectangle of the photo there are none.
struct Mask {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
  std::vector<uint8_t> is_inside;  // (height, width), 0 or 1
};

// Paste a mask of cells x cells probabilities, which spans a box in the photo's pixels. The box may
// extend beyond the photo.
//
// - SAMPLE (Detectron2): the mask is interpolated at each pixel's center, with zeros around it.
//   Probabilities of 0.5 and more are inside.
// - EXPAND (torchvision, Detectron): mask and box grow by a border of one cell. The box is
// truncated
//   to whole pixels, both ends included, and the mask is resized to it. More than 0.5 is inside.
// - ROUND (GluonCV): like EXPAND, but the corners are rounded, and the mask is averaged where it
//   shrinks.
Mask paste_mask(const float* probabilities, int cells, const std::array<float, 4>& box,
                const Photo& photo, MaskPaste method);
