#include "drawing.h"

#include <stb_easy_font.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "class_colors.h"

namespace {

static_assert(std::tuple_size<Color>::value == CHANNELS, "a color has a number for each channel");

constexpr int LINES_PER_SIDE = 250;  // lines are as wide as the shorter side divided by this
constexpr int LETTERS_PER_SIDE = 300;
constexpr int FONT_HEIGHT = 8;  // pixels of a letter of stb_easy_font, without descenders

// A part of a photo, with its far corner excluded.
struct Rectangle {
  int left = 0;
  int top = 0;
  int right = 0;
  int bottom = 0;
};

// Width of lines on a photo, or size of a pixel of its letters.
int thickness(const Photo& photo, int parts_per_side) {
  const double shorter = std::min(photo.height, photo.width);
  return std::max(1, static_cast<int>(std::lround(shorter / parts_per_side)));
}

void fill(Rectangle area, const Color& color, Photo* photo) {
  const int top = std::max(0, area.top);
  const int bottom = std::min(photo->height, area.bottom);
  const int left = std::max(0, area.left);
  const int right = std::min(photo->width, area.right);
  for (int y = top; y < bottom; ++y) {
    for (int x = left; x < right; ++x) {
      const size_t offset = (static_cast<size_t>(y) * photo->width + x) * CHANNELS;
      std::copy(color.begin(), color.end(), photo->pixels.begin() + offset);
    }
  }
}

// Tell whether a pixel and all within `distance` pixels above, below, left and right are in a mask.
bool is_interior(const Mask& mask, int x, int y, int distance) {
  const auto is_inside = [&mask](int column, int row) {
    const bool is_in_rectangle =
        column >= 0 && column < mask.width && row >= 0 && row < mask.height;
    return is_in_rectangle && mask.is_inside[static_cast<size_t>(row) * mask.width + column] != 0;
  };
  for (int step = 1; step <= distance; ++step) {
    if (!is_inside(x - step, y) || !is_inside(x + step, y) || !is_inside(x, y - step) ||
        !is_inside(x, y + step)) {
      return false;
    }
  }
  return true;
}

// Mix half of a color into the pixels of a mask, and paint the inner side of its outline.
void draw_mask(const Mask& mask, const Color& color, Photo* photo) {
  const int outline = thickness(*photo, LINES_PER_SIDE);
  for (int y = 0; y < mask.height; ++y) {
    for (int x = 0; x < mask.width; ++x) {
      if (mask.is_inside[static_cast<size_t>(y) * mask.width + x] == 0) {
        continue;
      }
      const size_t row = static_cast<size_t>(mask.top) + y;
      uint8_t* pixel = &photo->pixels[(row * photo->width + mask.left + x) * CHANNELS];
      const bool is_mixed = is_interior(mask, x, y, outline);
      for (int channel = 0; channel < CHANNELS; ++channel) {
        const int mixed = pixel[channel] / 2 + color[channel] / 2;
        pixel[channel] = is_mixed ? static_cast<uint8_t>(mixed) : color[channel];
      }
    }
  }
}

void draw_outline(Rectangle box, const Color& color, Photo* photo) {
  const int width = thickness(*photo, LINES_PER_SIDE);
  fill({box.left, box.top, box.right, box.top + width}, color, photo);
  fill({box.left, box.bottom - width, box.right, box.bottom}, color, photo);
  fill({box.left, box.top, box.left + width, box.bottom}, color, photo);
  fill({box.right - width, box.top, box.right, box.bottom}, color, photo);
}

// Replace what is not ASCII, which the font does not have.
std::string drawable(const std::string& text) {
  std::string result;
  for (char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    const bool is_continuation = (byte & 0xc0) == 0x80;
    if (byte >= 32 && byte < 127) {
      result += letter;
    } else if (!is_continuation) {
      result += '?';
    }
  }
  return result;
}

// Draw a text, each pixel of whose letters is a square of `scale` pixels.
void draw_text(std::string text, int left, int top, int scale, const Color& color, Photo* photo) {
  // The font gives rectangles of four corners, and each corner is x, y, z and a color.
  struct Corner {
    float x, y, z;
    unsigned char color[4];
  };
  constexpr int RECTANGLES_PER_LETTER = 16;
  std::vector<std::array<Corner, 4>> rectangles(text.size() * RECTANGLES_PER_LETTER);
  const auto size = static_cast<int>(rectangles.size() * sizeof(rectangles[0]));
  const int count = stb_easy_font_print(0, 0, text.data(), nullptr, rectangles.data(), size);
  for (int index = 0; index < count; ++index) {
    const Corner& near = rectangles[index][0];
    const Corner& far = rectangles[index][2];
    fill({left + static_cast<int>(near.x) * scale, top + static_cast<int>(near.y) * scale,
          left + static_cast<int>(far.x) * scale, top + static_cast<int>(far.y) * scale},
         color, photo);
  }
}

// Draw a text above a box, moved inward where it would leave the photo.
void draw_label(const std::string& text, Rectangle box, const Color& color, Photo* photo) {
  std::string letters = drawable(text);
  const int scale = thickness(*photo, LETTERS_PER_SIDE);
  const int margin = thickness(*photo, LINES_PER_SIDE) + 1;
  const int width = stb_easy_font_width(letters.data()) * scale + 2 * margin;
  const int height = FONT_HEIGHT * scale + 2 * margin;
  const int left = std::min(std::max(0, box.left), std::max(0, photo->width - width));
  int top = box.top - height;
  if (top < 0) {
    top = std::min(std::max(0, box.top), std::max(0, photo->height - height));
  }
  fill({left, top, left + width, top + height}, color, photo);
  draw_text(letters, left + margin, top + margin, scale, letters_on(color), photo);
}

// The pixels of a box.
Rectangle pixels_of(const Box& box, bool is_inclusive) {
  const int last_pixel = is_inclusive ? 1 : 0;
  const int left = static_cast<int>(box[0]);
  const int top = static_cast<int>(box[1]);
  return {left, top, std::max(left + 1, static_cast<int>(box[2]) + last_pixel),
          std::max(top + 1, static_cast<int>(box[3]) + last_pixel)};
}

}  // namespace

void draw(const std::vector<Detection>& detections, const Manifest& manifest, float score_threshold,
          Photo* photo) {
  std::vector<const Detection*> worst_first;
  for (const Detection& detection : detections) {
    if (detection.score >= score_threshold) {
      worst_first.push_back(&detection);
    }
  }
  std::stable_sort(
      worst_first.begin(), worst_first.end(),
      [](const Detection* one, const Detection* other) { return one->score < other->score; });
  const std::vector<Color> colors = class_colors(manifest.classes);
  for (const Detection* detection : worst_first) {
    if (detection->has_mask) {
      draw_mask(detection->mask, colors[detection->class_id], photo);
    }
  }
  for (const Detection* detection : worst_first) {
    const Color& color = colors[detection->class_id];
    const Rectangle box = pixels_of(detection->box, manifest.is_inclusive);
    draw_outline(box, color, photo);
    char score[16];
    std::snprintf(score, sizeof(score), " %.2f", detection->score);
    draw_label(manifest.classes[detection->class_id] + score, box, color, photo);
  }
}
