// Drawing of detections on a photo.
#pragma once

#include <vector>

#include "detections.h"

// Draw masks, and boxes with class and score, on a photo. Detections below `score_threshold` are
// left out, and the best one is drawn on top.
void draw(const std::vector<Detection>& detections, const Manifest& manifest, float score_threshold,
          Photo* photo);
