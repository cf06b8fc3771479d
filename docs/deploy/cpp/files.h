// Files: read completely, written completely or not at all.
#pragma once

#include <string>

// Tell whether a path is a regular file.
bool is_file(const std::string& path);

// Return the content of a file. UserError if it is missing, no regular file, or cannot be read.
std::string read_file(const std::string& path);

// Write a file. It gets its name when all of its bytes are on the disk; what had the name before
// stays there until then. UserError if it cannot be written.
void write_file(const std::string& path, const std::string& content);

// Make the folder of a file that will be written, so that a wrong name does not cost the work.
void make_parent_folder(const std::string& path);
