#include "checksums.h"

#include <openssl/sha.h>

#include <charconv>
#include <cstdlib>

namespace {

// A number of Python's json module: the fewest digits that give the same number, with an exponent
// from 1e16 on and below 1e-4.
std::string python_number(double value) {
  constexpr int LEAST_EXPONENT = -4;
  constexpr int END_EXPONENT = 16;
  char buffer[32];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific).ptr;
  const std::string scientific(buffer, end);
  const size_t exponent_start = scientific.find('e');
  const int exponent = std::atoi(scientific.c_str() + exponent_start + 1);
  if (exponent < LEAST_EXPONENT || exponent >= END_EXPONENT) {
    return scientific;
  }
  const auto fixed_end =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed).ptr;
  const std::string fixed(buffer, fixed_end);
  return fixed.find('.') == std::string::npos ? fixed + ".0" : fixed;
}

// Text as Python's json.dumps(value, sort_keys=True) writes it. nlohmann's own writer puts no
// spaces behind commas and colons, and has other exponents.
std::string python_json(const nlohmann::json& value) {
  std::string text;
  if (value.is_object()) {
    for (const auto& [key, entry] : value.items()) {
      text += (text.empty() ? "" : ", ") + python_json(key) + ": " + python_json(entry);
    }
    return "{" + text + "}";
  }
  if (value.is_array()) {
    for (const nlohmann::json& entry : value) {
      text += (text.empty() ? "" : ", ") + python_json(entry);
    }
    return "[" + text + "]";
  }
  if (value.is_number_float()) {
    return python_number(value.get<double>());
  }
  const int no_indent = -1;
  const bool only_ascii = true;
  return value.dump(no_indent, ' ', only_ascii);
}

}  // namespace

std::string sha256(const std::string& bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  const char* const digits = "0123456789abcdef";
  std::string text;
  for (unsigned char byte : digest) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::string manifest_digest(nlohmann::json manifest) {
  manifest["provenance"]["sha256"].erase("record");
  return sha256(python_json(manifest));
}
