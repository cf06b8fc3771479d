#include "paste_masks.h"

#include <algorithm>
#include <cmath>

namespace {

constexpr float MASK_EDGE = 0.5f;  // the probability at the edge of a mask
constexpr int BORDER_CELLS = 2;    // EXPAND and ROUND add one cell to either end of a mask

// How much each cell of a mask contributes to one pixel, along one axis.
struct PixelWeights {
  int first_cell = 0;
  std::vector<float> weights;
};

// The pixels of the photo that a mask covers, along one axis.
struct AxisWeights {
  int start = 0;
  std::vector<PixelWeights> pixels;
};

// Weights of linear interpolation at a position between cells 0, 1, ... with zeros beyond them.
// `reach` is how many cells away a weight is 0.
PixelWeights linear_weights(float position, int cells, float reach = 1) {
  PixelWeights pixel;
  for (int cell = 0; cell < cells; ++cell) {
    const float weight = 1 - std::abs(position - static_cast<float>(cell)) / reach;
    if (weight > 0) {
      if (pixel.weights.empty()) {
        pixel.first_cell = cell;
      }
      pixel.weights.push_back(weight);
    }
  }
  return pixel;
}

// Weights of torch's grid_sample with align_corners=False and zero padding.
AxisWeights sample_weights(float low, float high, int cells, int length) {
  AxisWeights axis;
  const int start = static_cast<int>(std::max(0.0f, std::floor(low)));
  const int stop = static_cast<int>(std::min(static_cast<float>(length), std::ceil(high)));
  if (high <= low) {
    return axis;
  }
  axis.start = std::min(start, length);
  for (int pixel = start; pixel < stop; ++pixel) {
    const float center = static_cast<float>(pixel) + 0.5f;
    const float position = (center - low) / (high - low) * static_cast<float>(cells) - 0.5f;
    axis.pixels.push_back(linear_weights(position, cells));
  }
  return axis;
}

// Drop the border's cells, the first and the last: they are zero, so they contribute nothing.
PixelWeights without_border(PixelWeights pixel, int cells) {
  const int dropped = pixel.first_cell == 0 && !pixel.weights.empty() ? 1 : 0;
  pixel.weights.erase(pixel.weights.begin(), pixel.weights.begin() + dropped);
  pixel.first_cell = std::max(0, pixel.first_cell - 1);
  const int kept = std::clamp(cells - pixel.first_cell, 0, static_cast<int>(pixel.weights.size()));
  pixel.weights.resize(kept);
  return pixel;
}

// Weights for a box that covers the pixels from `first` to `last`, both included, of a mask with a
// border.
AxisWeights bordered_weights(int first, int last, int cells, int length, MaskPaste method) {
  // At least 1, also for a reversed box.
  const int pixel_count = std::max(1, last - first + 1);
  const int bordered_cells = cells + BORDER_CELLS;
  const double cells_per_pixel = double(bordered_cells) / pixel_count;
  const int start = std::max(0, first);
  const int stop = std::max(start, std::min(length, last + 1));
  AxisWeights axis;
  axis.start = std::min(start, length);
  for (int pixel = start; pixel < stop; ++pixel) {
    const float center = static_cast<float>(pixel - first) + 0.5f;
    const float position = center * static_cast<float>(cells_per_pixel) - 0.5f;
    PixelWeights weights;
    if (method == MaskPaste::EXPAND) {
      const float inner = std::clamp(position, 0.0f, static_cast<float>(cells + 1));
      weights = linear_weights(inner, bordered_cells);
    } else {
      // Pillow averages where the mask shrinks: a pixel then reaches over all cells below it.
      const auto reach = static_cast<float>(std::max(1.0, cells_per_pixel));
      weights = linear_weights(position, bordered_cells, reach);
      float sum = 0;
      for (float weight : weights.weights) {
        sum += weight;
      }
      for (float& weight : weights.weights) {
        weight /= sum;
      }
    }
    axis.pixels.push_back(without_border(std::move(weights), cells));
  }
  return axis;
}

AxisWeights axis_weights(float low, float high, int cells, int length, MaskPaste method) {
  if (method == MaskPaste::SAMPLE) {
    return sample_weights(low, high, cells, length);
  }
  // Both ends move outward by the width of one cell.
  const float center = (high + low) * 0.5f;
  const float growth = static_cast<float>(double(cells + BORDER_CELLS) / cells);
  const float half = (high - low) * 0.5f * growth;
  float first = center - half;
  float last = center + half;
  if (method == MaskPaste::ROUND) {
    first = std::nearbyint(first);
    last = std::nearbyint(last);
  }
  // A conversion to int truncates toward zero.
  return bordered_weights(static_cast<int>(first), static_cast<int>(last), cells, length, method);
}

float weighted_sum(const float* values, const PixelWeights& pixel) {
  float sum = 0;
  for (size_t index = 0; index < pixel.weights.size(); ++index) {
    sum += values[pixel.first_cell + index] * pixel.weights[index];
  }
  return sum;
}

// Interpolate the rows of a mask at one row of pixels: one value for each cell along x.
std::vector<float> interpolated_row(const float* probabilities, int cells,
                                    const PixelWeights& pixel) {
  std::vector<float> row(cells, 0.0f);
  const float* source = probabilities + pixel.first_cell * cells;
  for (float weight : pixel.weights) {
    for (float& value : row) {
      value += weight * *source++;
    }
  }
  return row;
}

}  // namespace

Mask paste_mask(const float* probabilities, int cells, const std::array<float, 4>& box,
                const Photo& photo, MaskPaste method) {
  const AxisWeights columns = axis_weights(box[0], box[2], cells, photo.width, method);
  const AxisWeights rows = axis_weights(box[1], box[3], cells, photo.height, method);
  Mask mask{rows.start,
            columns.start,
            static_cast<int>(rows.pixels.size()),
            static_cast<int>(columns.pixels.size()),
            {}};
  mask.is_inside.reserve(rows.pixels.size() * columns.pixels.size());
  for (const PixelWeights& pixel_row : rows.pixels) {
    const std::vector<float> row = interpolated_row(probabilities, cells, pixel_row);
    for (const PixelWeights& pixel : columns.pixels) {
      const float probability = weighted_sum(row.data(), pixel);
      const bool is_inside =
          method == MaskPaste::SAMPLE ? probability >= MASK_EDGE : probability > MASK_EDGE;
      mask.is_inside.push_back(is_inside ? 1 : 0);
    }
  }
  return mask;
}
