// JPEG files, read and written with libjpeg-turbo and its default settings, as Pillow does.

// libjpeg's header uses the types of these two and does not include them.
#include <cstddef>
#include <cstdio>

#include <jpeglib.h>

#include <jerror.h>

#include <algorithm>
#include <csetjmp>
#include <cstdlib>

#include "error.h"
#include "orientation.h"
#include "photo.h"

namespace {

constexpr int QUALITY = 92;  // as gluonnorm's own scripts write pictures
constexpr int APP1 = JPEG_APP0 + 1;
constexpr unsigned WHOLE_MARKER = 0xffff;
constexpr int CMYK_CHANNELS = 4;

// libjpeg's error handler. Its functions return by longjmp instead of ending the process.
struct ErrorHandler {
  jpeg_error_mgr base;  // first, so that a pointer to it is a pointer to the handler
  std::jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
};

[[noreturn]] void leave(j_common_ptr codec) {
  auto* handler = reinterpret_cast<ErrorHandler*>(codec->err);
  handler->base.format_message(codec, handler->message);
  std::longjmp(handler->escape, 1);
}

// libjpeg fills the missing part of a file with gray and only warns. Here that is an error.
void leave_if_cut_off(j_common_ptr codec, int level) {
  if (level < 0 && codec->err->msg_code == JWRN_JPEG_EOF) {
    leave(codec);
  }
}

jpeg_error_mgr* prepare(ErrorHandler* handler) {
  jpeg_std_error(&handler->base);
  handler->base.error_exit = leave;
  handler->base.emit_message = leave_if_cut_off;
  return &handler->base;
}

// What the decoder fills. It is made outside of the functions that longjmp may leave, because
// longjmp runs no destructors.
struct DecodedJpeg {
  int height = 0;
  int width = 0;
  int channels = 0;
  std::vector<uint8_t> samples;  // (height, width, channels)
  std::string exif;
  std::string xmp;
};

void keep_markers(jpeg_saved_marker_ptr marker, DecodedJpeg* decoded) {
  const std::string exif_start("Exif\0\0", 6);
  const std::string xmp_start("http://ns.adobe.com/xap/1.0/\0", 29);
  for (; marker != nullptr; marker = marker->next) {
    const std::string data(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (data.compare(0, exif_start.size(), exif_start) == 0 && decoded->exif.empty()) {
      decoded->exif = data;
    } else if (data.compare(0, xmp_start.size(), xmp_start) == 0) {
      decoded->xmp = data.substr(xmp_start.size());
    }
  }
}

// Read everything before the pixels. False after an error.
bool read_header(jpeg_decompress_struct* decoder, ErrorHandler* handler,
                 const std::string& content) {
  if (setjmp(handler->escape) != 0) {
    return false;
  }
  jpeg_create_decompress(decoder);
  jpeg_save_markers(decoder, APP1, WHOLE_MARKER);
  jpeg_mem_src(decoder, reinterpret_cast<const unsigned char*>(content.data()), content.size());
  jpeg_read_header(decoder, TRUE);
  return true;
}

// Read the pixels. False after an error.
bool read_samples(jpeg_decompress_struct* decoder, ErrorHandler* handler, uint8_t* samples) {
  if (setjmp(handler->escape) != 0) {
    return false;
  }
  jpeg_start_decompress(decoder);
  const size_t row_size = static_cast<size_t>(decoder->output_width) * decoder->output_components;
  while (decoder->output_scanline < decoder->output_height) {
    JSAMPROW row = samples + decoder->output_scanline * row_size;
    jpeg_read_scanlines(decoder, &row, 1);
  }
  jpeg_finish_decompress(decoder);
  return true;
}

[[noreturn]] void refuse(const std::string& name, const std::string& reason) {
  throw UserError(name + ": cannot be read as an image: " + reason);
}

DecodedJpeg decode(jpeg_decompress_struct* decoder, ErrorHandler* handler,
                   const std::string& content, const std::string& name) {
  DecodedJpeg decoded;
  if (!read_header(decoder, handler, content)) {
    refuse(name, handler->message);
  }
  decoded.height = static_cast<int>(decoder->image_height);
  decoded.width = static_cast<int>(decoder->image_width);
  decoded.channels = decoder->num_components;
  check_pixel_count(decoded.height, decoded.width, name);
  if (decoded.channels != 1 && decoded.channels != CHANNELS && decoded.channels != CMYK_CHANNELS) {
    refuse(name, "it has " + std::to_string(decoded.channels) + " channels");
  }
  keep_markers(decoder->marker_list, &decoded);
  const size_t pixel_count = static_cast<size_t>(decoded.height) * decoded.width;
  decoded.samples.resize(pixel_count * decoded.channels);
  if (!read_samples(decoder, handler, decoded.samples.data())) {
    refuse(name, handler->message);
  }
  return decoded;
}

// Multiply two numbers in 0..255, of which 255 means 1.
int multiply(int factor, int other) {
  const int product = factor * other + 128;
  return (product + (product >> 8)) >> 8;
}

// Turn the channels of a file into RGB. CMYK is stored inverted, as Adobe does.
std::vector<uint8_t> to_rgb(DecodedJpeg decoded) {
  if (decoded.channels == CHANNELS) {
    return std::move(decoded.samples);
  }
  const size_t pixel_count = decoded.samples.size() / decoded.channels;
  std::vector<uint8_t> pixels(pixel_count * CHANNELS);
  for (size_t pixel = 0; pixel < pixel_count; ++pixel) {
    const uint8_t* sample = &decoded.samples[pixel * decoded.channels];
    for (int channel = 0; channel < CHANNELS; ++channel) {
      uint8_t level = sample[0];
      if (decoded.channels == CMYK_CHANNELS) {
        const int light = sample[CHANNELS];
        const int ink = 255 - sample[channel];
        level = static_cast<uint8_t>(std::max(0, light - multiply(ink, light)));
      }
      pixels[pixel * CHANNELS + channel] = level;
    }
  }
  return pixels;
}

// Compress a picture into memory that libjpeg allocates. False after an error.
bool compress(jpeg_compress_struct* encoder, ErrorHandler* handler, const Photo& photo,
              unsigned char** buffer, unsigned long* size) {
  if (setjmp(handler->escape) != 0) {
    return false;
  }
  jpeg_create_compress(encoder);
  jpeg_mem_dest(encoder, buffer, size);
  encoder->image_height = photo.height;
  encoder->image_width = photo.width;
  encoder->input_components = CHANNELS;
  encoder->in_color_space = JCS_RGB;
  jpeg_set_defaults(encoder);
  jpeg_set_quality(encoder, QUALITY, TRUE);
  jpeg_start_compress(encoder, TRUE);
  const size_t row_size = static_cast<size_t>(photo.width) * CHANNELS;
  while (encoder->next_scanline < encoder->image_height) {
    // libjpeg does not change the row, although its type allows it.
    auto* row = const_cast<uint8_t*>(photo.pixels.data()) + encoder->next_scanline * row_size;
    jpeg_write_scanlines(encoder, &row, 1);
  }
  jpeg_finish_compress(encoder);
  return true;
}

}  // namespace

StoredPhoto decode_jpeg(const std::string& content, const std::string& name) {
  ErrorHandler handler;
  jpeg_decompress_struct decoder = {};
  decoder.err = prepare(&handler);
  DecodedJpeg decoded;
  try {
    decoded = decode(&decoder, &handler, content, name);
  } catch (...) {
    jpeg_destroy_decompress(&decoder);
    throw;
  }
  jpeg_destroy_decompress(&decoder);
  StoredPhoto stored;
  stored.orientation = orientation_of(decoded.exif, decoded.xmp);
  stored.photo.height = decoded.height;
  stored.photo.width = decoded.width;
  stored.photo.pixels = to_rgb(std::move(decoded));
  return stored;
}

std::string encode_jpeg(const Photo& photo) {
  ErrorHandler handler;
  jpeg_compress_struct encoder = {};
  encoder.err = prepare(&handler);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  const bool succeeded = compress(&encoder, &handler, photo, &buffer, &size);
  jpeg_destroy_compress(&encoder);
  std::string content;
  if (succeeded) {
    content.assign(reinterpret_cast<const char*>(buffer), size);
  }
  std::free(buffer);
  if (!succeeded) {
    throw UserError(std::string("the picture cannot be written as JPEG: ") + handler.message);
  }
  return content;
}
