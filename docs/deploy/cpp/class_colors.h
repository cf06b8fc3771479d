// The colors of classes, the same as in gluonnorm's own pictures (gluonnorm/class_colors.py).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

using Color = std::array<uint8_t, 3>;  // red, green, blue

// The color of each class, by its name.
std::vector<Color> class_colors(const std::vector<std::string>& classes);

// Black or white, whichever is easier to read on a background.
Color letters_on(const Color& background);
