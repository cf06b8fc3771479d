#include "class_colors.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace {

constexpr uint32_t PALETTE[] = {
    0xff3c2d, 0x0f2dff, 0x00ff00, 0x007800, 0x5ac3ff, 0xe100ff, 0xffc35a, 0x873c87,
    0xff96e1, 0x78b41e, 0x0078b4, 0x9678ff, 0xa53c00, 0x78f0c3, 0x8700f0, 0xd25aa5,
    0xc3872d, 0x00c3a5, 0xc3005a, 0x0096ff, 0xb4e13c, 0xff8778, 0x5a5ae1, 0x78871e,
};
constexpr size_t NUM_COLORS = sizeof(PALETTE) / sizeof(PALETTE[0]);
constexpr size_t NEIGHBORS = 10;  // classes before a class whose colors it does not take
const char SEED[] = "36940 ";     // comes before each name

// The checksum CRC-32 of a text, as zlib computes it.
uint32_t crc32_of(const std::string& text) {
  uint32_t checksum = 0xffffffff;
  for (const char letter : text) {
    checksum ^= static_cast<unsigned char>(letter);
    for (int bit = 0; bit < 8; ++bit) {
      checksum = (checksum >> 1) ^ (checksum & 1 ? 0xedb88320 : 0);
    }
  }
  return ~checksum;
}

// Relative luminance in 0..1, by the definition of WCAG 2.1.
double luminance(const Color& color) {
  constexpr double WEIGHTS[] = {0.2126, 0.7152, 0.0722};
  double sum = 0;
  for (size_t channel = 0; channel < color.size(); ++channel) {
    const double share = color[channel] / 255.0;
    sum += WEIGHTS[channel] *
           (share <= 0.03928 ? share / 12.92 : std::pow((share + 0.055) / 1.055, 2.4));
  }
  return sum;
}

}  // namespace

std::vector<Color> class_colors(const std::vector<std::string>& classes) {
  std::vector<Color> colors;
  for (const std::string& name : classes) {
    const auto first_neighbor = colors.end() - std::min(colors.size(), NEIGHBORS);
    // The sum stays below the largest number of 64 bits.
    uint64_t number = crc32_of(SEED + name);
    Color color;
    do {
      const uint32_t packed = PALETTE[number++ % NUM_COLORS];
      color = {static_cast<uint8_t>(packed >> 16), static_cast<uint8_t>(packed >> 8),
               static_cast<uint8_t>(packed)};
    } while (std::find(first_neighbor, colors.end(), color) != colors.end());
    colors.push_back(color);
  }
  return colors;
}

Color letters_on(const Color& background) {
  const double with_white = (1 + 0.05) / (luminance(background) + 0.05);
  const double with_black = (luminance(background) + 0.05) / 0.05;
  return with_black > with_white ? Color{0, 0, 0} : Color{255, 255, 255};
}
