// Resizing of photos with the arithmetic of the codebase that a network comes from.
#pragma once

#include <vector>

#include "photo.h"

// How the sides after resizing are rounded to whole pixels: Detectron2, GluonCV, torchvision.
enum class Rounding { NEAREST, EVEN, FLOOR };

// How pixels are interpolated: as bytes (OpenCV), as floats (torch), or averaged where the photo
// shrinks (Pillow). Every method is bilinear, with pixel centers at half coordinates.
enum class ResizeMethod { PIXEL, FLOAT, ANTIALIAS };

// Height and width in pixels.
struct Size {
  int height = 0;
  int width = 0;
};

// Compute the size of a photo after resizing: the shorter side becomes `short_side`, unless the
// longer side would exceed `max_size`.
Size resized_size(Size size, int short_side, int max_size, Rounding rounding);

// Resize a photo to (height, width, 3) floats in 0..255.
std::vector<float> resize(const Photo& photo, Size size, ResizeMethod method);
