// Checksums of exported files, as gluonnorm writes them into the manifest.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

// SHA-256 of some bytes, in hexadecimal digits.
std::string sha256(const std::string& bytes);

// The checksum of everything in a manifest except for that checksum itself.
std::string manifest_digest(nlohmann::json manifest);
