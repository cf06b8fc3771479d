#include "manifest.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "checksums.h"
#include "error.h"
#include "files.h"

using nlohmann::json;

namespace {

const std::map<std::string, Rounding> ROUNDINGS = {
    {"nearest", Rounding::NEAREST}, {"even", Rounding::EVEN}, {"floor", Rounding::FLOOR}};
const std::map<std::string, ResizeMethod> RESIZE_METHODS = {{"pixel", ResizeMethod::PIXEL},
                                                            {"float", ResizeMethod::FLOAT},
                                                            {"antialias", ResizeMethod::ANTIALIAS}};
const std::map<std::string, bool> CHANNEL_ORDERS = {{"RGB", false}, {"BGR", true}};
const std::map<std::string, MaskPaste> MASK_PASTES = {
    {"sample", MaskPaste::SAMPLE}, {"expand", MaskPaste::EXPAND}, {"round", MaskPaste::ROUND}};

[[noreturn]] void refuse(const std::string& reason) { throw UserError(reason); }

// Return the choice that a text names.
template <typename Choice>
Choice choose(const std::string& key, const json& value,
              const std::map<std::string, Choice>& choices) {
  const auto found = choices.find(value.get<std::string>());
  if (found == choices.end()) {
    std::string names;
    for (const auto& choice : choices) {
      names += (names.empty() ? "" : ", ") + choice.first;
    }
    refuse(key + " is " + value.dump() + "; this program knows " + names);
  }
  return found->second;
}

int positive_integer(const std::string& key, const json& value) {
  const double number = value.get<double>();
  if (number < 1 || number > 1e6 || number != std::floor(number)) {
    refuse(key + " is " + value.dump() + "; want whole pixels, at least 1");
  }
  return static_cast<int>(number);
}

std::array<float, CHANNELS> three_numbers(const std::string& key, const json& value) {
  const auto numbers = value.get<std::vector<float>>();
  if (numbers.size() != CHANNELS || !std::all_of(numbers.begin(), numbers.end(), [](float number) {
        return std::isfinite(number);
      })) {
    refuse(key + " is " + value.dump() + "; want three numbers, for red, green and blue");
  }
  return {numbers[0], numbers[1], numbers[2]};
}

// Read one entry of how photos become the network's input.
void read_entry(const std::string& key, const json& value, Manifest* manifest) {
  if (key == "short") {
    const auto lengths = value.get<std::vector<json>>();
    manifest->short_side = positive_integer(key, lengths.empty() ? json(0) : lengths.back());
  } else if (key == "max_size") {
    manifest->max_size = positive_integer(key, value);
  } else if (key == "normalize") {
    manifest->is_normalized = value.get<bool>();
  } else if (key == "mean") {
    manifest->mean = three_numbers(key, value);
  } else if (key == "std") {
    manifest->standard_deviation = three_numbers(key, value);
  } else if (key == "order") {
    manifest->is_blue_first = choose(key, value, CHANNEL_ORDERS);
  } else if (key == "resize") {
    manifest->resize = choose(key, value, RESIZE_METHODS);
  } else if (key == "rounding") {
    manifest->rounding = choose(key, value, ROUNDINGS);
  } else if (key == "inclusive") {
    manifest->is_inclusive = value.get<bool>();
  } else if (key != "multiple") {  // the network itself pads its input
    refuse("preprocess has " + key + ", which this program does not know");
  }
}

// Read how photos become the network's input. Entries that files of earlier versions lack keep
// their defaults.
void read_preprocess(const json& preprocess, Manifest* manifest) {
  for (const auto& [key, value] : preprocess.items()) {
    try {
      read_entry(key, value, manifest);
    } catch (const json::exception&) {
      refuse(key + " is " + value.dump() + ", of a wrong type");
    }
  }
  const auto& deviation = manifest->standard_deviation;
  if (*std::min_element(deviation.begin(), deviation.end()) <= 0) {
    refuse("std is " + preprocess.at("std").dump() + "; every entry must be positive");
  }
  if (manifest->max_size < manifest->short_side) {
    refuse("max_size is less than short");
  }
}

void read_classes(const json& document, Manifest* manifest) {
  manifest->classes = document.at("classes").get<std::vector<std::string>>();
  const std::set<std::string> different(manifest->classes.begin(), manifest->classes.end());
  if (manifest->classes.empty() || different.size() < manifest->classes.size()) {
    refuse("classes is no list of different names");
  }
}

Manifest manifest_of(const json& document) {
  Manifest manifest;
  read_classes(document, &manifest);
  manifest.input_name = document.at("input").at("name").get<std::string>();
  const json convention =
      document.value("config", json::object()).value("convention", json::object());
  // Version 0.1 wrote how corners are counted into the convention alone.
  manifest.is_inclusive = convention.value("inclusive", false);
  const std::string mask_paste = convention.value("mask_paste", "sample");
  manifest.mask_paste = choose("mask_paste", mask_paste, MASK_PASTES);
  read_preprocess(document.at("preprocess"), &manifest);
  return manifest;
}

void require_file(const std::string& prefix, const std::string& suffix) {
  const std::string path = prefix + suffix;
  if (is_file(path)) {
    return;
  }
  const bool has_suffix = prefix.size() > suffix.size() &&
                          prefix.compare(prefix.size() - suffix.size(), suffix.size(), suffix) == 0;
  refuse(path + " is missing; " +
         (has_suffix ? "give " + prefix.substr(0, prefix.size() - suffix.size()) + " alone"
                     : "copy all files of the export, or export again"));
}

// Compare the checksums in a manifest with the files and with the manifest itself.
void verify(const json& document, const std::string& prefix,
            const std::vector<DescribedFile>& files) {
  const std::string source = prefix + ".json";
  const json& checksums = document.at("provenance").at("sha256");
  for (const DescribedFile& file : files) {
    const std::string path = prefix + file.suffix;
    if (!checksums.contains(file.checksum_key)) {
      refuse(source + " does not describe " + path + "; export again in that format too");
    }
    if (checksums[file.checksum_key] != sha256(read_file(path))) {
      refuse(path + " is not the file that " + source + " describes: its checksum differs; " +
             "copy all files of the export again, or export again");
    }
  }
  // The earliest exports have no checksum of the manifest.
  if (checksums.contains("record") && checksums["record"] != manifest_digest(document)) {
    refuse(source + " was altered: its checksum differs; copy it again, or export again");
  }
}

[[noreturn]] void refuse_manifest(const std::string& source, const std::string& reason) {
  refuse(source + " is not the manifest of an exported network (" + first_line(reason) +
         "); export again");
}

}  // namespace

Manifest read_manifest(const std::string& prefix, const std::vector<DescribedFile>& files) {
  const std::string source = prefix + ".json";
  for (const DescribedFile& file : files) {
    require_file(prefix, file.suffix);
  }
  require_file(prefix, ".json");
  const std::string text = read_file(source);
  try {
    verify(json::parse(text), prefix, files);
  } catch (const json::exception& error) {
    refuse_manifest(source, error.what());
  }
  return parse_manifest(text, source);
}

Manifest parse_manifest(const std::string& text, const std::string& source) {
  try {
    return manifest_of(json::parse(text));
  } catch (const json::exception& error) {
    refuse_manifest(source, error.what());
  } catch (const UserError& error) {
    refuse_manifest(source, error.what());
  }
}
