#include "files.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "error.h"

namespace fs = std::filesystem;

std::string first_line(const std::string& message) { return message.substr(0, message.find('\n')); }

bool is_file(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

std::string read_file(const std::string& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    throw UserError(path + ": no such file");
  }
  // Opening a pipe would wait for ever.
  if (!is_file(path)) {
    throw UserError(path + ": is a folder, a pipe or a device; want a file");
  }
  std::ifstream file(path, std::ios::binary);
  std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || file.bad()) {
    throw UserError(path + ": cannot be read: " + std::strerror(errno));
  }
  return content;
}

void write_file(const std::string& path, const std::string& content) {
  std::error_code ignored;
  // A device such as /dev/stdout must not be replaced by a file.
  const bool is_special = fs::exists(path, ignored) && !is_file(path);
  const std::string written_path = is_special ? path : path + ".part";
  std::ofstream file(written_path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  std::error_code failure;
  if (file && !is_special) {
    fs::rename(written_path, path, failure);
  }
  if (!file || failure) {
    if (!is_special) {
      fs::remove(written_path, ignored);
    }
    throw UserError(path + " cannot be written; make room, or name a file elsewhere");
  }
}

void make_parent_folder(const std::string& path) {
  std::error_code failure;
  if (fs::is_directory(path, failure)) {
    throw UserError(path + " is a folder; name a file");
  }
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty()) {
    fs::create_directories(folder, failure);
    if (!fs::is_directory(folder)) {
      throw UserError(folder.string() + " cannot be made: " + failure.message());
    }
  }
}
