// The orientation of a photo: found in EXIF or XMP data, and undone.
#pragma once

#include <string>

#include "photo.h"

// Find the orientation of a photo in its EXIF data, or else in its XMP document; 1 if neither tells
// it. Both may be empty.
int orientation_of(const std::string& exif, const std::string& xmp);

// Turn and mirror a photo so that it is upright.
Photo turn_upright(StoredPhoto stored);
