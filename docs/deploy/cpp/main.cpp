// Detect objects on photos with an exported network: draw them, and write them as JSON.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <set>

#include "backend.h"
#include "detections.h"
#include "drawing.h"
#include "error.h"
#include "files.h"
#include "manifest.h"
#include "photo.h"
#include "results.h"

namespace fs = std::filesystem;

namespace {

constexpr int FAILED = 1;
constexpr int WRONG_ARGUMENTS = 2;
constexpr int LONGEST_JPEG = 65500;   // pixels of a side
constexpr size_t LONGEST_STEM = 200;  // bytes; a file's name has at most 255
const char* const EXPORT_SUFFIXES[] = {"-symbol.json", "-0000.params", ".json",
                                       ".onnx",        ".xml",         ".bin"};

const char* const USAGE =
    "usage: detect [--score-thresh S] [--output FOLDER] [--json FILE] --exported PREFIX PHOTO...\n"
    "\n"
    "Draw what an exported network detects on photos, JPEG or PNG.\n"
    "\n"
    "  --exported PREFIX   the exported files, such as out/blood of out/blood.json\n"
    "  --score-thresh S    draw detections of at least this score (default: 0.5)\n"
    "  --output FOLDER     the folder of the pictures (default: detections)\n"
    "  --json FILE         write all detections, whatever their score\n";

struct Arguments {
  std::string prefix;
  float score_threshold = 0.5f;
  std::string output_folder = "detections";
  std::string json_path;  // "" for none
  std::vector<std::string> photos;
};

float score_of(const std::string& text) {
  char* end = nullptr;
  const float score = std::strtof(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(score >= 0 && score <= 1)) {
    throw UserError("--score-thresh is '" + text + "'; want a number in 0..1");
  }
  return score;
}

Arguments parse(const std::vector<std::string>& words) {
  Arguments arguments;
  for (size_t index = 0; index < words.size(); ++index) {
    const std::string& word = words[index];
    if (word.compare(0, 2, "--") != 0) {
      arguments.photos.push_back(word);
      continue;
    }
    if (index + 1 == words.size()) {
      throw UserError(word + " has no value, or is not known");
    }
    const std::string& value = words[++index];
    if (word == "--exported") {
      arguments.prefix = value;
    } else if (word == "--score-thresh") {
      arguments.score_threshold = score_of(value);
    } else if (word == "--output") {
      arguments.output_folder = value;
    } else if (word == "--json") {
      arguments.json_path = value;
    } else {
      throw UserError(word + " is not known");
    }
  }
  if (arguments.prefix.empty() || arguments.photos.empty()) {
    throw UserError("give --exported and at least one photo");
  }
  return arguments;
}

// Tell whether a byte of UTF-8 continues a letter.
bool is_inside_letter(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

// Find a name for the drawn picture of a photo, because photos of several folders may share one. A
// long name is cut off, so that the picture's name, which is longer, is not too long for a file.
std::string picture_path(const Arguments& arguments, const std::string& photo,
                         std::set<std::string>* used_names) {
  std::string stem = fs::path(photo).stem().string();
  if (stem.size() > LONGEST_STEM) {
    size_t end = LONGEST_STEM;
    while (end > 0 && is_inside_letter(stem[end])) {
      --end;
    }
    stem.resize(end);
  }
  std::string name = stem;
  for (int number = 2; !used_names->insert(name).second; ++number) {
    name = stem + "-" + std::to_string(number);
  }
  return (fs::path(arguments.output_folder) / (name + "-detections.jpg")).string();
}

// Read a photo whose picture a JPEG file can hold.
Photo read_drawable(const std::string& path) {
  Photo photo = read_photo(path);
  const int longest = std::max(photo.height, photo.width);
  if (longest > LONGEST_JPEG) {
    throw UserError(path + ": has a side of " + std::to_string(longest) +
                    " pixels, and the pictures are JPEG, which has at most " +
                    std::to_string(LONGEST_JPEG) + "; cut it into shorter parts");
  }
  return photo;
}

// Tell whether two paths lead to one file, which need not exist.
bool is_same_file(const std::string& path, const std::string& other) {
  std::error_code ignored;
  return fs::weakly_canonical(path, ignored) == fs::weakly_canonical(other, ignored);
}

// Refuse a file of results that would replace a file of the network, a photo, or another image.
void check_json_path(const Arguments& arguments) {
  const std::string& path = arguments.json_path;
  const std::string message = "--json would write " + path + ", which is a file of ";
  for (const char* suffix : EXPORT_SUFFIXES) {
    if (is_same_file(arguments.prefix + suffix, path)) {
      throw UserError(message + "--exported too; give another name");
    }
  }
  for (const std::string& photo : arguments.photos) {
    if (is_same_file(photo, path)) {
      throw UserError(message + "the photos too; give another name");
    }
  }
  // In "--json a.jpg b.jpg" the name of the file was forgotten, and a photo takes its place.
  if (is_file(path) && is_image(read_file(path))) {
    throw UserError("--json would replace " + path +
                    ", an image, by text; give the name of a file to write after --json");
  }
}

// Name the drawn picture of each photo. None may replace a photo.
std::vector<std::string> picture_paths(const Arguments& arguments) {
  std::set<std::string> used_names;
  std::vector<std::string> pictures;
  for (const std::string& photo : arguments.photos) {
    pictures.push_back(picture_path(arguments, photo, &used_names));
    for (const std::string& other : arguments.photos) {
      if (is_same_file(pictures.back(), other)) {
        throw UserError("the picture of " + photo + " would replace " + other +
                        ", which is one of the photos; give another folder with --output");
      }
    }
  }
  return pictures;
}

// Run the network on a photo. What the network says about its input refers to the photo.
std::vector<Detection> detect_on(const Photo& photo, const std::string& path,
                                 const Network& network) {
  try {
    const Tensor input = network_input(photo, network.manifest);
    return detections_in_photo(network.backend->run(input), input, photo, network.manifest);
  } catch (const UserError& error) {
    throw UserError(path + ": " + error.what());
  }
}

// Count the drawn detections of each class, such as "2 cat, 1 dog".
std::string summary(const std::vector<Detection>& detections, const Manifest& manifest,
                    float score_threshold) {
  std::string text;
  for (size_t class_id = 0; class_id < manifest.classes.size(); ++class_id) {
    const auto count =
        std::count_if(detections.begin(), detections.end(), [&](const Detection& detection) {
          return detection.class_id == static_cast<int>(class_id) &&
                 detection.score >= score_threshold;
        });
    if (count > 0) {
      text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + manifest.classes[class_id];
    }
  }
  return text.empty() ? "nothing" : text;
}

// Detect on each photo. A photo that cannot be read gets an error line, and the others go on.
int detect(const Arguments& arguments) {
  const Network network = load_network(arguments.prefix);
  const Manifest& manifest = network.manifest;
  // Before the work, so that a wrong name does not cost the results.
  if (!arguments.json_path.empty()) {
    check_json_path(arguments);
    make_parent_folder(arguments.json_path);
  }
  const std::vector<std::string> pictures = picture_paths(arguments);
  make_parent_folder((fs::path(arguments.output_folder) / "any.jpg").string());
  int status = EXIT_SUCCESS;
  nlohmann::json entries = nlohmann::json::array();
  for (size_t index = 0; index < arguments.photos.size(); ++index) {
    const std::string& path = arguments.photos[index];
    const std::string& picture = pictures[index];
    Photo photo;
    std::vector<Detection> detections;
    try {
      photo = read_drawable(path);
      detections = detect_on(photo, path, network);
    } catch (const UserError& error) {
      std::cerr << "error: " << error.what() << std::endl;
      entries.push_back({{"file", path}, {"error", error.what()}});
      status = FAILED;
      continue;
    }
    entries.push_back(photo_entry(path, photo, detections, manifest));
    draw(detections, manifest, arguments.score_threshold, &photo);
    write_file(picture, encode_jpeg(photo));
    std::cout << path << ": " << summary(detections, manifest, arguments.score_threshold) << " -> "
              << picture << std::endl;
  }
  if (!arguments.json_path.empty()) {
    const nlohmann::json document = {
        {"classes", manifest.classes}, {"inclusive", manifest.is_inclusive}, {"images", entries}};
    // File names need not be UTF-8. What JSON cannot hold is replaced.
    write_file(arguments.json_path,
               document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  return status;
}

}  // namespace

int main(int argument_count, char** argument_values) {
  Arguments arguments;
  const std::vector<std::string> words(argument_values + 1, argument_values + argument_count);
  if (words.empty() || words[0] == "--help" || words[0] == "-h") {
    std::cout << USAGE;
    return words.empty() ? WRONG_ARGUMENTS : EXIT_SUCCESS;
  }
  try {
    arguments = parse(words);
  } catch (const UserError& error) {
    std::cerr << "error: " << error.what() << "; see --help" << std::endl;
    return WRONG_ARGUMENTS;
  }
  try {
    return detect(arguments);
  } catch (const std::exception& error) {
    std::cerr << "error: " << first_line(error.what()) << std::endl;
    return FAILED;
  }
}
