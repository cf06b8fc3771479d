#include "orientation.h"

#include <algorithm>
#include <cstdint>

namespace {

constexpr int UPRIGHT = 1;
constexpr int UNKNOWN = 0;
constexpr int LAST_ORIENTATION = 8;
constexpr int FIRST_SWAPPED = 5;  // from 5 on, rows of the file are columns of the photo
constexpr uint32_t ORIENTATION_TAG = 0x0112;
constexpr size_t HEADER_SIZE = 8;
constexpr size_t ENTRY_SIZE = 12;
constexpr size_t VALUE_OFFSET = 8;  // in an entry, after tag, type and count

// Numbers in the byte order of EXIF data. Beyond the end they are 0.
class TiffReader {
 public:
  explicit TiffReader(const std::string& data) : data_(data), is_little_(data[0] == 'I') {}

  uint32_t number(size_t offset, size_t byte_count) const {
    uint32_t value = 0;
    for (size_t index = 0; index < byte_count; ++index) {
      const size_t place = is_little_ ? byte_count - 1 - index : index;
      const size_t position = offset + place;
      const uint8_t byte = position < data_.size() ? static_cast<uint8_t>(data_[position]) : 0;
      value = value << 8 | byte;
    }
    return value;
  }

 private:
  const std::string& data_;
  bool is_little_;
};

// Bytes of one number of a TIFF type; 0 for types that no orientation has.
size_t bytes_of_type(uint32_t type) {
  switch (type) {
    case 1:
      return 1;
    case 3:
      return 2;
    case 4:
      return 4;
    default:
      return 0;
  }
}

// The orientation in EXIF data, or UNKNOWN.
int orientation_in_exif(std::string exif) {
  const std::string prefix("Exif\0\0", 6);
  while (exif.compare(0, prefix.size(), prefix) == 0) {
    exif.erase(0, prefix.size());
  }
  if (exif.size() < HEADER_SIZE) {
    return UNKNOWN;
  }
  const TiffReader reader(exif);
  const size_t directory = reader.number(4, 4);
  const size_t entry_count = reader.number(directory, 2);
  for (size_t index = 0; index < entry_count; ++index) {
    const size_t entry = directory + 2 + index * ENTRY_SIZE;
    if (entry + ENTRY_SIZE > exif.size()) {
      break;
    }
    if (reader.number(entry, 2) == ORIENTATION_TAG) {
      const size_t byte_count = bytes_of_type(reader.number(entry + 2, 2));
      return static_cast<int>(reader.number(entry + VALUE_OFFSET, byte_count));
    }
  }
  return UNKNOWN;
}

// The orientation in an XMP document, or UNKNOWN.
int orientation_in_xmp(const std::string& document) {
  // It is an attribute or an element.
  for (const std::string& start :
       {std::string("tiff:Orientation=\""), std::string("tiff:Orientation>")}) {
    const size_t position = document.find(start);
    const size_t digit = position + start.size();
    if (position != std::string::npos && digit < document.size()) {
      return document[digit] - '0';
    }
  }
  return UNKNOWN;
}

}  // namespace

int orientation_of(const std::string& exif, const std::string& xmp) {
  int orientation = orientation_in_exif(exif);
  if (orientation == UNKNOWN) {
    orientation = orientation_in_xmp(xmp);
  }
  const bool is_known = orientation >= UPRIGHT && orientation <= LAST_ORIENTATION;
  return is_known ? orientation : UPRIGHT;
}

Photo turn_upright(StoredPhoto stored) {
  const int orientation = stored.orientation;
  if (orientation == UPRIGHT) {
    return std::move(stored.photo);
  }
  const bool is_swapped = orientation >= FIRST_SWAPPED;
  const bool is_upside_down =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool is_mirrored =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const Photo& source = stored.photo;
  Photo upright;
  upright.height = is_swapped ? source.width : source.height;
  upright.width = is_swapped ? source.height : source.width;
  upright.pixels.resize(source.pixels.size());
  auto target = upright.pixels.begin();
  for (int y = 0; y < upright.height; ++y) {
    for (int x = 0; x < upright.width; ++x) {
      int row = is_swapped ? x : y;
      int column = is_swapped ? y : x;
      row = is_upside_down ? source.height - 1 - row : row;
      column = is_mirrored ? source.width - 1 - column : column;
      const size_t offset = (static_cast<size_t>(row) * source.width + column) * CHANNELS;
      target = std::copy_n(source.pixels.begin() + offset, CHANNELS, target);
    }
  }
  return upright;
}
