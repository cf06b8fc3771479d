// Detections as JSON, in the form of `demo.py --json`.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "detections.h"

// Describe a photo and its detections: file, height, width and detections. A detection has class,
// id, score, box (x1 y1 x2 y2 in pixels), and mask (COCO's run lengths) if the network has masks.
nlohmann::json photo_entry(const std::string& path, const Photo& photo,
                           const std::vector<Detection>& detections, const Manifest& manifest);

// COCO's compressed run lengths of a mask of a photo, column by column.
std::string run_lengths(const Mask& mask, const Photo& photo);
