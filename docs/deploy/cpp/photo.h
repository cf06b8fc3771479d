// Photos: files of JPEG or PNG become RGB pixels, upright according to their EXIF data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

constexpr int CHANNELS = 3;

// A photo in memory.
struct Photo {
  int height = 0;
  int width = 0;
  std::vector<uint8_t> pixels;  // (height, width, 3), RGB
};

// A photo as its file holds it.
struct StoredPhoto {
  Photo photo;
  int orientation = 1;  // EXIF's number; 1 is upright
};

// Tell whether the content of a file begins as that of a JPEG or PNG file.
bool is_image(const std::string& content);

// Read a photo as gluonnorm reads it in Python: gray levels, palettes and CMYK become RGB,
// transparency is dropped, 16 bits a channel become 8. UserError if the file is missing, cut off or
// damaged, is no JPEG and no PNG, has more pixels than the limit, or holds gray levels whose white
// is not known.
Photo read_photo(const std::string& path);

// Decode the content of a file of one format. `name` is the beginning of an error message.
StoredPhoto decode_jpeg(const std::string& content, const std::string& name);
StoredPhoto decode_png(const std::string& content, const std::string& name);

// Encode a picture as the content of a JPEG file.
std::string encode_jpeg(const Photo& photo);

// Raise UserError for a photo without pixels, or with more of them than the limit: Pillow's
// 89478485, or the environment variable GLUONNORM_MAX_PIXELS.
void check_pixel_count(int64_t height, int64_t width, const std::string& name);
