#include "results.h"

namespace {

constexpr int BITS = 5;           // of a number in one letter
constexpr int64_t LOW_BITS = 31;  // the 5 lowest bits
constexpr int64_t SIGN_BIT = 16;  // of the 5
constexpr int64_t MORE_BIT = 32;  // another letter follows
constexpr char FIRST_LETTER = '0';
constexpr size_t FIRST_DIFFERENCE = 3;  // runs from this one on are stored as differences

// Lengths of the runs of pixels outside and inside a mask, in turn, column by column.
std::vector<int64_t> runs_of(const Mask& mask, const Photo& photo) {
  std::vector<int64_t> runs = {0};
  int64_t next = 0;  // the pixel after the last one that was counted
  for (int x = 0; x < mask.width; ++x) {
    const int64_t column_start = static_cast<int64_t>(mask.left + x) * photo.height + mask.top;
    for (int y = 0; y < mask.height; ++y) {
      if (mask.is_inside[static_cast<size_t>(y) * mask.width + x] == 0) {
        continue;
      }
      const int64_t pixel = column_start + y;
      const bool continues_run = pixel == next && runs.size() % 2 == 0;
      if (!continues_run) {
        if (runs.size() % 2 == 0) {
          runs.push_back(0);
        }
        runs.back() += pixel - next;
        runs.push_back(0);
      }
      ++runs.back();
      next = pixel + 1;
    }
  }
  const int64_t rest = static_cast<int64_t>(photo.height) * photo.width - next;
  if (rest > 0) {
    if (runs.size() % 2 == 0) {
      runs.push_back(0);
    }
    runs.back() += rest;
  }
  return runs;
}

}  // namespace

std::string run_lengths(const Mask& mask, const Photo& photo) {
  const std::vector<int64_t> runs = runs_of(mask, photo);
  std::string text;
  for (size_t index = 0; index < runs.size(); ++index) {
    int64_t number = runs[index];
    if (index >= FIRST_DIFFERENCE) {
      number -= runs[index - 2];
    }
    bool has_more = true;
    while (has_more) {
      int64_t letter = number & LOW_BITS;
      number >>= BITS;
      has_more = (letter & SIGN_BIT) != 0 ? number != -1 : number != 0;
      if (has_more) {
        letter |= MORE_BIT;
      }
      text += static_cast<char>(FIRST_LETTER + letter);
    }
  }
  return text;
}

nlohmann::json photo_entry(const std::string& path, const Photo& photo,
                           const std::vector<Detection>& detections, const Manifest& manifest) {
  nlohmann::json rows = nlohmann::json::array();
  for (const Detection& detection : detections) {
    nlohmann::json row = {{"class", manifest.classes[detection.class_id]},
                          {"id", detection.class_id},
                          {"score", detection.score},
                          {"box", detection.box}};
    if (detection.has_mask) {
      row["mask"] = {{"size", {photo.height, photo.width}},
                     {"counts", run_lengths(detection.mask, photo)}};
    }
    rows.push_back(row);
  }
  return {{"file", path}, {"height", photo.height}, {"width", photo.width}, {"detections", rows}};
}
