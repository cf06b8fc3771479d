#include "detections.h"

#include <algorithm>
#include <cmath>

#include "error.h"

namespace {

constexpr size_t CORNERS = 4;
constexpr size_t OUTPUTS_WITHOUT_MASKS = 3;

// The outputs of a detector.
struct Outputs {
  const Tensor& ids;
  const Tensor& scores;
  const Tensor& boxes;
  const Tensor* masks;  // null if the network has none
};

// Raise UserError unless a tensor has D rows, each of which has this number of values.
void check_rows(const Tensor& tensor, size_t row_count, size_t values_per_row) {
  if (tensor.values.size() != row_count * values_per_row) {
    throw UserError("the network's outputs are not those of a detector; export again");
  }
}

Outputs named_outputs(const std::vector<Tensor>& outputs) {
  const bool has_masks = outputs.size() == OUTPUTS_WITHOUT_MASKS + 1;
  if (outputs.size() != OUTPUTS_WITHOUT_MASKS && !has_masks) {
    throw UserError("the network has " + std::to_string(outputs.size()) +
                    " outputs, and a detector has 3 or 4; export again");
  }
  const Outputs named{outputs[0], outputs[1], outputs[2], has_masks ? &outputs[3] : nullptr};
  const size_t row_count = named.ids.values.size();
  check_rows(named.scores, row_count, 1);
  check_rows(named.boxes, row_count, CORNERS);
  if (has_masks) {
    const int64_t cells = named.masks->shape.back();
    check_rows(*named.masks, row_count, static_cast<size_t>(cells * cells));
  }
  return named;
}

bool has_area(const Box& box) {
  const bool is_finite =
      std::all_of(box.begin(), box.end(), [](float corner) { return std::isfinite(corner); });
  return is_finite && box[2] > box[0] && box[3] > box[1];
}

Box clip(const Box& box, float height, float width) {
  return {std::clamp(box[0], 0.0f, width), std::clamp(box[1], 0.0f, height),
          std::clamp(box[2], 0.0f, width), std::clamp(box[3], 0.0f, height)};
}

// Tell whether any area of a box is inside a photo.
bool is_visible(Box box, const Photo& photo, bool is_inclusive) {
  if (is_inclusive) {
    box[2] += 1;
    box[3] += 1;
  }
  return has_area(box) && has_area(clip(box, photo.height, photo.width));
}

}  // namespace

Tensor network_input(const Photo& photo, const Manifest& manifest) {
  const Size size = resized_size({photo.height, photo.width}, manifest.short_side,
                                 manifest.max_size, manifest.rounding);
  const std::vector<float> pixels = resize(photo, size, manifest.resize);
  Tensor input;
  input.shape = {1, CHANNELS, size.height, size.width};
  input.values.reserve(pixels.size());
  for (int channel = 0; channel < CHANNELS; ++channel) {
    const int color = manifest.is_blue_first ? CHANNELS - 1 - channel : channel;
    const float mean = manifest.is_normalized ? manifest.mean[color] : 0;
    const float deviation = manifest.is_normalized ? manifest.standard_deviation[color] : 1;
    for (size_t offset = color; offset < pixels.size(); offset += CHANNELS) {
      input.values.push_back((pixels[offset] - mean) / deviation);
    }
  }
  return input;
}

std::vector<Detection> detections_in_photo(const std::vector<Tensor>& outputs, const Tensor& input,
                                           const Photo& photo, const Manifest& manifest) {
  const Outputs named = named_outputs(outputs);
  // Resized length divided by the photo's length.
  const float scale_y = static_cast<float>(double(input.shape[2]) / photo.height);
  const float scale_x = static_cast<float>(double(input.shape[3]) / photo.width);
  const float last_pixel = manifest.is_inclusive ? 1 : 0;
  std::vector<Detection> detections;
  for (size_t row = 0; row < named.ids.values.size(); ++row) {
    const float* corner = &named.boxes.values[row * CORNERS];
    const Box box = {corner[0] / scale_x, corner[1] / scale_y, corner[2] / scale_x,
                     corner[3] / scale_y};
    const float id = named.ids.values[row];
    if (!(id >= 0) || !is_visible(box, photo, manifest.is_inclusive)) {
      continue;
    }
    Detection detection;
    detection.class_id = static_cast<int>(id);
    if (detection.class_id >= static_cast<int>(manifest.classes.size())) {
      throw UserError("the network has more classes than the manifest has names; export again");
    }
    detection.score = named.scores.values[row];
    detection.box = clip(box, photo.height - last_pixel, photo.width - last_pixel);
    if (named.masks != nullptr) {
      const int cells = static_cast<int>(named.masks->shape.back());
      const float* grid = &named.masks->values[row * cells * cells];
      detection.has_mask = true;
      detection.mask = paste_mask(grid, cells, box, photo, manifest.mask_paste);
    }
    detections.push_back(std::move(detection));
  }
  return detections;
}
