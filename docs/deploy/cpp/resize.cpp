#include "resize.h"

#include <algorithm>
#include <cmath>

namespace {

constexpr int WEIGHT_BITS = 11;  // of OpenCV: a weight of 1 is 2048
constexpr int PILLOW_WEIGHT_BITS = 22;

int to_int(double value) { return static_cast<int>(value); }

// Detectron2: halves are rounded up.
Size nearest_size(Size size, int short_side, int max_size) {
  const double scale = double(short_side) / std::min(size.height, size.width);
  double height = size.height <= size.width ? short_side : scale * size.height;
  double width = size.width <= size.height ? short_side : scale * size.width;
  const double longer = std::max(height, width);
  if (longer > max_size) {
    const double reduction = max_size / longer;
    height *= reduction;
    width *= reduction;
  }
  return {to_int(height + 0.5), to_int(width + 0.5)};
}

// GluonCV: halves are rounded to the even neighbor, as nearbyint does.
Size even_size(Size size, int short_side, int max_size) {
  const int longer = std::max(size.height, size.width);
  double scale = double(short_side) / std::min(size.height, size.width);
  if (std::nearbyint(scale * longer) > max_size) {
    scale = double(max_size) / longer;
  }
  return {to_int(std::nearbyint(size.height * scale)), to_int(std::nearbyint(size.width * scale))};
}

// torchvision: sides are rounded down.
Size floor_size(Size size, int short_side, int max_size) {
  const double scale = std::min(double(short_side) / std::min(size.height, size.width),
                                double(max_size) / std::max(size.height, size.width));
  return {to_int(std::floor(size.height * scale)), to_int(std::floor(size.width * scale))};
}

// The two source positions between which a result position is, along one axis, and what each of
// the two contributes.
template <typename Weight>
struct Neighbors {
  int low = 0;
  int high = 0;
  Weight low_weight = 0;
  Weight high_weight = 0;
};

// Neighbors for bytes, as OpenCV computes them. OpenCV gives all the weight to the border pixel
// where one of the two is outside the photo along x, but not along y.
std::vector<Neighbors<int>> byte_neighbors(int source_length, int length, bool merge_at_border) {
  // Two divisions in double precision, then one rounding to single precision: the last bit counts.
  const double scale = 1.0 / (double(length) / source_length);
  const float one = 1 << WEIGHT_BITS;
  std::vector<Neighbors<int>> neighbors(length);
  for (int index = 0; index < length; ++index) {
    const float position = static_cast<float>((index + 0.5) * scale - 0.5);
    const float below = std::floor(position);
    const int low = to_int(below);
    float fraction = position - below;
    if (merge_at_border && (low < 0 || low >= source_length - 1)) {
      fraction = 0;
    }
    neighbors[index].low = std::clamp(low, 0, source_length - 1);
    neighbors[index].high = std::clamp(low + 1, 0, source_length - 1);
    neighbors[index].low_weight = to_int(std::nearbyint((1 - fraction) * one));
    neighbors[index].high_weight = to_int(std::nearbyint(fraction * one));
  }
  return neighbors;
}

// Neighbors for floats, as torch computes them.
std::vector<Neighbors<float>> float_neighbors(int source_length, int length) {
  const double scale = static_cast<float>(source_length) / static_cast<float>(length);
  std::vector<Neighbors<float>> neighbors(length);
  for (int index = 0; index < length; ++index) {
    // torch uses a fused multiply-add: exact in between, and one rounding at the end.
    const float exact = static_cast<float>(scale * (index + 0.5) - 0.5);
    const float position = std::max(exact, 0.0f);
    const int low = std::min(to_int(position), source_length - 1);
    const float fraction = std::clamp(position - static_cast<float>(low), 0.0f, 1.0f);
    neighbors[index] = {low, std::min(low + 1, source_length - 1), 1 - fraction, fraction};
  }
  return neighbors;
}

// The rows of a photo, interpolated along x. A result row needs two neighboring rows, and each is
// computed once.
template <typename Value>
class InterpolatedRows {
 public:
  InterpolatedRows(const Photo& photo, const std::vector<Neighbors<Value>>& columns, int shift)
      : photo_(photo), columns_(columns), shift_(shift) {}

  // Return row `y` of the photo: (width, 3). It stays valid for the next row of the other parity.
  const std::vector<Value>& row(int y) {
    const int place = y % 2;
    if (kept_y_[place] != y) {
      kept_y_[place] = y;
      interpolate(&photo_.pixels[static_cast<size_t>(y) * photo_.width * CHANNELS], &kept_[place]);
    }
    return kept_[place];
  }

 private:
  void interpolate(const uint8_t* source, std::vector<Value>* row) const {
    row->clear();
    for (const Neighbors<Value>& column : columns_) {
      for (int channel = 0; channel < CHANNELS; ++channel) {
        const Value low = source[column.low * CHANNELS + channel];
        const Value high = source[column.high * CHANNELS + channel];
        row->push_back(shifted(low * column.low_weight + high * column.high_weight));
      }
    }
  }

  int shifted(int sum) const { return sum >> shift_; }
  float shifted(float sum) const { return sum; }

  const Photo& photo_;
  const std::vector<Neighbors<Value>>& columns_;
  const int shift_;
  int kept_y_[2] = {-1, -1};
  std::vector<Value> kept_[2];
};

// OpenCV replaces linear interpolation by its area average where both sides are exactly halved.
std::vector<float> halve(const Photo& photo, Size size) {
  std::vector<float> result;
  result.reserve(static_cast<size_t>(size.height) * size.width * CHANNELS);
  const size_t row_size = static_cast<size_t>(photo.width) * CHANNELS;
  for (int y = 0; y < size.height; ++y) {
    const uint8_t* upper = &photo.pixels[2 * y * row_size];
    const uint8_t* lower = upper + row_size;
    for (int x = 0; x < size.width; ++x) {
      for (int channel = 0; channel < CHANNELS; ++channel) {
        const int left = 2 * x * CHANNELS + channel;
        const int right = left + CHANNELS;
        const int sum = upper[left] + upper[right] + lower[left] + lower[right];
        result.push_back(static_cast<float>((sum + 2) >> 2));
      }
    }
  }
  return result;
}

// The shifts are OpenCV's: 4 bits after the horizontal pass make room for the vertical weights in
// 32 bits, and 4 + 16 + 2 bits are the 22 bits of both weights.
std::vector<float> resize_bytes(const Photo& photo, Size size) {
  if (photo.height == 2 * size.height && photo.width == 2 * size.width) {
    return halve(photo, size);
  }
  const auto columns = byte_neighbors(photo.width, size.width, true);
  InterpolatedRows<int> rows(photo, columns, 4);
  std::vector<float> result;
  result.reserve(static_cast<size_t>(size.height) * size.width * CHANNELS);
  for (const Neighbors<int>& neighbors : byte_neighbors(photo.height, size.height, false)) {
    const std::vector<int>& low = rows.row(neighbors.low);
    const std::vector<int>& high = rows.row(neighbors.high);
    for (size_t index = 0; index < low.size(); ++index) {
      const int above = (low[index] * neighbors.low_weight) >> 16;
      const int below = (high[index] * neighbors.high_weight) >> 16;
      result.push_back(static_cast<float>((above + below + 2) >> 2));
    }
  }
  return result;
}

std::vector<float> resize_floats(const Photo& photo, Size size) {
  const auto columns = float_neighbors(photo.width, size.width);
  InterpolatedRows<float> rows(photo, columns, 0);
  std::vector<float> result;
  result.reserve(static_cast<size_t>(size.height) * size.width * CHANNELS);
  for (const Neighbors<float>& neighbors : float_neighbors(photo.height, size.height)) {
    const std::vector<float>& low = rows.row(neighbors.low);
    const std::vector<float>& high = rows.row(neighbors.high);
    for (size_t index = 0; index < low.size(); ++index) {
      result.push_back(low[index] * neighbors.low_weight + high[index] * neighbors.high_weight);
    }
  }
  return result;
}

// What the source positions from `first` on contribute to one result position, in integers of
// PILLOW_WEIGHT_BITS bits.
struct Averaged {
  int first = 0;
  std::vector<int> weights;
};

// Pillow's weights of a triangle that is as wide as the source pixels below a result pixel.
std::vector<Averaged> triangle_weights(int source_length, int length) {
  const double scale = double(source_length) / length;
  const double support = std::max(scale, 1.0);
  std::vector<Averaged> positions(length);
  for (int index = 0; index < length; ++index) {
    const double center = (index + 0.5) * scale;
    const int first = std::max(0, to_int(center - support + 0.5));
    const int end = std::min(source_length, to_int(center + support + 0.5));
    std::vector<double> heights;
    double sum = 0;
    for (int source = first; source < end; ++source) {
      const double distance = std::abs((source - center + 0.5) * (1.0 / support));
      heights.push_back(std::max(0.0, 1.0 - distance));
      sum += heights.back();
    }
    positions[index].first = first;
    for (double height : heights) {
      const double weight = sum == 0 ? height : height / sum;
      positions[index].weights.push_back(to_int(0.5 + weight * (1 << PILLOW_WEIGHT_BITS)));
    }
  }
  return positions;
}

// Average the values at `source`, `step` apart, and round to a byte.
uint8_t average(const uint8_t* source, size_t step, const Averaged& position) {
  int sum = 1 << (PILLOW_WEIGHT_BITS - 1);
  source += position.first * step;
  for (int weight : position.weights) {
    sum += *source * weight;
    source += step;
  }
  return static_cast<uint8_t>(std::clamp(sum >> PILLOW_WEIGHT_BITS, 0, 255));
}

Photo average_columns(const Photo& photo, int width) {
  const std::vector<Averaged> positions = triangle_weights(photo.width, width);
  Photo result{photo.height, width, {}};
  result.pixels.reserve(static_cast<size_t>(photo.height) * width * CHANNELS);
  for (int y = 0; y < photo.height; ++y) {
    const uint8_t* row = &photo.pixels[static_cast<size_t>(y) * photo.width * CHANNELS];
    for (const Averaged& position : positions) {
      for (int channel = 0; channel < CHANNELS; ++channel) {
        result.pixels.push_back(average(row + channel, CHANNELS, position));
      }
    }
  }
  return result;
}

Photo average_rows(const Photo& photo, int height) {
  const size_t row_size = static_cast<size_t>(photo.width) * CHANNELS;
  Photo result{height, photo.width, {}};
  result.pixels.reserve(height * row_size);
  for (const Averaged& position : triangle_weights(photo.height, height)) {
    for (size_t index = 0; index < row_size; ++index) {
      result.pixels.push_back(average(&photo.pixels[index], row_size, position));
    }
  }
  return result;
}

// As Pillow: first along x, then along y, each rounded to bytes, and only where a side changes.
std::vector<float> resize_antialiased(const Photo& photo, Size size) {
  const Photo narrowed = photo.width == size.width ? photo : average_columns(photo, size.width);
  const Photo resized =
      photo.height == size.height ? narrowed : average_rows(narrowed, size.height);
  return {resized.pixels.begin(), resized.pixels.end()};
}

}  // namespace

Size resized_size(Size size, int short_side, int max_size, Rounding rounding) {
  Size resized;
  switch (rounding) {
    case Rounding::NEAREST:
      resized = nearest_size(size, short_side, max_size);
      break;
    case Rounding::EVEN:
      resized = even_size(size, short_side, max_size);
      break;
    case Rounding::FLOOR:
      resized = floor_size(size, short_side, max_size);
      break;
  }
  return {std::max(1, resized.height), std::max(1, resized.width)};
}

std::vector<float> resize(const Photo& photo, Size size, ResizeMethod method) {
  if (photo.height == size.height && photo.width == size.width) {
    return {photo.pixels.begin(), photo.pixels.end()};
  }
  switch (method) {
    case ResizeMethod::PIXEL:
      return resize_bytes(photo, size);
    case ResizeMethod::FLOAT:
      return resize_floats(photo, size);
    default:
      return resize_antialiased(photo, size);
  }
}
