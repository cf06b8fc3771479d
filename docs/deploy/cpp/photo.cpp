#include "photo.h"

#include <cstdlib>

#include "error.h"
#include "files.h"
#include "orientation.h"

namespace {

const char* const LIMIT_VARIABLE = "GLUONNORM_MAX_PIXELS";
constexpr int64_t DEFAULT_LIMIT = 89478485;  // Pillow's MAX_IMAGE_PIXELS

int64_t pixel_limit() {
  const char* text = std::getenv(LIMIT_VARIABLE);
  if (text == nullptr) {
    return DEFAULT_LIMIT;
  }
  char* end = nullptr;
  const long long limit = std::strtoll(text, &end, 10);
  if (*end != '\0' || limit < 1) {
    throw UserError(std::string(LIMIT_VARIABLE) + " is '" + text +
                    "'; want a number of pixels, at least 1");
  }
  return limit;
}

bool starts_with(const std::string& content, const std::string& signature) {
  return content.compare(0, signature.size(), signature) == 0;
}

bool is_jpeg(const std::string& content) { return starts_with(content, "\xff\xd8\xff"); }

bool is_png(const std::string& content) { return starts_with(content, "\x89PNG\r\n\x1a\n"); }

}  // namespace

bool is_image(const std::string& content) { return is_jpeg(content) || is_png(content); }

Photo read_photo(const std::string& path) {
  const std::string content = read_file(path);
  if (is_jpeg(content)) {
    return turn_upright(decode_jpeg(content, path));
  }
  if (is_png(content)) {
    return turn_upright(decode_png(content, path));
  }
  throw UserError(path + ": cannot be read as an image: it is neither JPEG nor PNG" +
                  (content.empty() ? ", it is empty" : ""));
}

void check_pixel_count(int64_t height, int64_t width, const std::string& name) {
  const std::string size = std::to_string(width) + " x " + std::to_string(height) + " pixels";
  if (height < 1 || width < 1) {
    throw UserError(name + ": is " + size + "; want at least one");
  }
  const int64_t limit = pixel_limit();
  if (height * width > limit) {
    throw UserError(name + ": cannot be read as an image: " + size + " exceeds limit of " +
                    std::to_string(limit) + " pixels; cut it into tiles, or set the environment " +
                    "variable " + LIMIT_VARIABLE + "=" + std::to_string(height * width));
  }
}
