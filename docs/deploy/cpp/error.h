// The error of everything that the user of the program can mend.
#pragma once

#include <stdexcept>
#include <string>

// A file, a photo or a flag that cannot be used. The message is one line.
class UserError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Keep the first line of a message of another library.
std::string first_line(const std::string& message);
