// PNG files, read with libpng to what Pillow reads: no gamma, transparency dropped.
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <memory>

#include "error.h"
#include "orientation.h"
#include "photo.h"

namespace {

constexpr int WIDE_BITS = 16;
constexpr int WHITE_16_BITS = 65535;
// A picture of 16 bits whose levels are all below this has 14 bits or fewer, and would be dark.
constexpr int LEAST_WHITE = 1 << 14;

// What the decoder fills. It is made outside of the functions that longjmp may leave, because
// longjmp runs no destructors.
struct DecodedPng {
  int height = 0;
  int width = 0;
  int bits = 0;      // of a channel in the file
  int channels = 0;  // 1: gray, 2: gray and alpha, 3: RGB, 4: RGB and alpha
  bool is_wide_gray = false;
  std::vector<uint8_t> samples;  // (height, width, channels); of wide gray two bytes a pixel
  std::vector<uint8_t*> rows;
  std::string exif;
  std::string xmp;
};

// The content of a file that is read from its beginning, and the message of an error.
struct Source {
  explicit Source(const std::string& file_content) : content(file_content) {}

  const std::string& content;
  size_t position = 0;
  std::string message;
};

[[noreturn]] void leave(png_structp decoder, png_const_charp message) {
  static_cast<Source*>(png_get_error_ptr(decoder))->message = message;
  png_longjmp(decoder, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp decoder, png_bytep target, size_t count) {
  auto* source = static_cast<Source*>(png_get_io_ptr(decoder));
  if (count > source->content.size() - source->position) {
    png_error(decoder, "the file is cut off");
  }
  std::memcpy(target, source->content.data() + source->position, count);
  source->position += count;
}

// Ask libpng for bytes, or for the two bytes of wide gray levels.
void set_transformations(png_structp decoder, png_infop info) {
  const int color = png_get_color_type(decoder, info);
  const int bits = png_get_bit_depth(decoder, info);
  if (color == PNG_COLOR_TYPE_PALETTE) {
    png_set_palette_to_rgb(decoder);
  } else if (color == PNG_COLOR_TYPE_GRAY && bits < 8) {
    png_set_expand_gray_1_2_4_to_8(decoder);
  } else if (color != PNG_COLOR_TYPE_GRAY && bits == WIDE_BITS) {
    png_set_strip_16(decoder);
  }
  png_set_interlace_handling(decoder);
  png_read_update_info(decoder, info);
}

// Read everything before the pixels. False after an error.
bool read_header(png_structp decoder, png_infop info, DecodedPng* decoded) {
  if (setjmp(png_jmpbuf(decoder)) != 0) {
    return false;
  }
  png_set_crc_action(decoder, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_read_info(decoder, info);
  decoded->height = static_cast<int>(png_get_image_height(decoder, info));
  decoded->width = static_cast<int>(png_get_image_width(decoder, info));
  decoded->bits = png_get_bit_depth(decoder, info);
  set_transformations(decoder, info);
  decoded->channels = png_get_channels(decoder, info);
  decoded->is_wide_gray = png_get_bit_depth(decoder, info) == WIDE_BITS;
  return true;
}

// Read the pixels and what follows them. False after an error.
bool read_samples(png_structp decoder, png_infop info, DecodedPng* decoded) {
  if (setjmp(png_jmpbuf(decoder)) != 0) {
    return false;
  }
  png_read_image(decoder, decoded->rows.data());
  png_read_end(decoder, info);
  return true;
}

void keep_metadata(png_structp decoder, png_infop info, DecodedPng* decoded) {
  png_uint_32 exif_size = 0;
  png_bytep exif = nullptr;
  if (png_get_eXIf_1(decoder, info, &exif_size, &exif) != 0) {
    decoded->exif.assign(reinterpret_cast<const char*>(exif), exif_size);
  }
  png_textp texts = nullptr;
  const int text_count = png_get_text(decoder, info, &texts, nullptr);
  for (int index = 0; index < text_count; ++index) {
    if (std::string(texts[index].key) == "XML:com.adobe.xmp") {
      decoded->xmp = texts[index].text;
    }
  }
}

[[noreturn]] void refuse(const std::string& name, const std::string& reason) {
  throw UserError(name + ": cannot be read as an image: " + reason);
}

// libpng's decoder, which is freed at the end.
class Decoder {
 public:
  explicit Decoder(Source* source)
      : decoder_(png_create_read_struct(PNG_LIBPNG_VER_STRING, source, leave, ignore_warning)),
        info_(png_create_info_struct(decoder_)) {
    png_set_read_fn(decoder_, source, read_bytes);
  }
  ~Decoder() { png_destroy_read_struct(&decoder_, &info_, nullptr); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  DecodedPng decode(const Source& source, const std::string& name) {
    DecodedPng decoded;
    if (!read_header(decoder_, info_, &decoded)) {
      refuse(name, source.message);
    }
    check_pixel_count(decoded.height, decoded.width, name);
    const size_t row_size = png_get_rowbytes(decoder_, info_);
    decoded.samples.resize(row_size * decoded.height);
    for (int y = 0; y < decoded.height; ++y) {
      decoded.rows.push_back(decoded.samples.data() + y * row_size);
    }
    if (!read_samples(decoder_, info_, &decoded)) {
      refuse(name, source.message);
    }
    keep_metadata(decoder_, info_, &decoded);
    return decoded;
  }

 private:
  png_structp decoder_;
  png_infop info_;
};

// Raise UserError for a picture of 16 bits of which only 14 or fewer are used.
void check_16_bits(int brightest, const std::string& name) {
  if (brightest > 0 && brightest < LEAST_WHITE) {
    throw UserError(name + ": image has 16 bits a channel, but no value above " +
                    std::to_string(brightest) +
                    ": that is too dark to be meant; convert the picture to 8 bits");
  }
}

std::vector<uint8_t> wide_gray_to_rgb(const DecodedPng& decoded, const std::string& name) {
  const size_t pixel_count = decoded.samples.size() / 2;
  std::vector<uint8_t> pixels(pixel_count * CHANNELS);
  int brightest = 0;
  for (size_t pixel = 0; pixel < pixel_count; ++pixel) {
    const int level = decoded.samples[2 * pixel] << 8 | decoded.samples[2 * pixel + 1];
    brightest = std::max(brightest, level);
    std::fill_n(&pixels[pixel * CHANNELS], CHANNELS,
                static_cast<uint8_t>(level * 255LL / WHITE_16_BITS));
  }
  check_16_bits(brightest, name);
  return pixels;
}

// Raise UserError if the colors are all the same and only the transparency has a shape.
void refuse_pure_transparency(const DecodedPng& decoded, const std::string& name) {
  if (decoded.channels != 2 && decoded.channels != 4) {
    return;
  }
  const int color_count = decoded.channels - 1;
  const uint8_t* first = decoded.samples.data();
  bool is_same_alpha = true;
  for (size_t offset = 0; offset < decoded.samples.size(); offset += decoded.channels) {
    const uint8_t* sample = first + offset;
    if (!std::equal(sample, sample + color_count, first)) {
      return;
    }
    is_same_alpha = is_same_alpha && sample[color_count] == first[color_count];
  }
  if (!is_same_alpha) {
    throw UserError(name +
                    ": image has one color everywhere, and its shapes in its transparency, " +
                    "which is dropped; paste it on a background first");
  }
}

std::vector<uint8_t> to_rgb(const DecodedPng& decoded, const std::string& name) {
  if (decoded.is_wide_gray) {
    return wide_gray_to_rgb(decoded, name);
  }
  refuse_pure_transparency(decoded, name);
  const bool is_gray = decoded.channels < CHANNELS;
  const size_t pixel_count = decoded.samples.size() / decoded.channels;
  std::vector<uint8_t> pixels(pixel_count * CHANNELS);
  for (size_t pixel = 0; pixel < pixel_count; ++pixel) {
    const uint8_t* sample = &decoded.samples[pixel * decoded.channels];
    for (int channel = 0; channel < CHANNELS; ++channel) {
      pixels[pixel * CHANNELS + channel] = sample[is_gray ? 0 : channel];
    }
  }
  if (decoded.bits == WIDE_BITS) {
    // Only the upper 8 of 16 bits are left, so this is the most that the file can hold.
    check_16_bits(*std::max_element(pixels.begin(), pixels.end()) * 256 + 255, name);
  }
  return pixels;
}

}  // namespace

StoredPhoto decode_png(const std::string& content, const std::string& name) {
  Source source(content);
  const DecodedPng decoded = Decoder(&source).decode(source, name);
  StoredPhoto stored;
  stored.orientation = orientation_of(decoded.exif, decoded.xmp);
  stored.photo.height = decoded.height;
  stored.photo.width = decoded.width;
  stored.photo.pixels = to_rgb(decoded, name);
  return stored;
}
