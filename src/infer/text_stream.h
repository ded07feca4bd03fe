// Text that leaves token by token: whole characters only, and nothing that may be the start of a stop string.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace megalith {

class TextStream {
 public:
  explicit TextStream(std::vector<std::string> stop_strings = {});

  // Adds the bytes of a token; returns what may be shown now. After stopped() it returns nothing.
  std::string push(std::string_view bytes);
  // The rest, at the end; bytes that are no UTF-8 become U+FFFD.
  std::string finish();
  // A stop string was completed; it and what follows are dropped. Of several the one that is complete first
  // counts, however the tokens cut the text.
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  std::string take(std::size_t bytes);
  std::vector<std::string> stop_strings_;
  std::string pending_;
  bool stopped_ = false;
};

// Length of the longest prefix of `bytes` that does not end inside a UTF-8 character.
std::size_t whole_characters(std::string_view bytes);
// Valid UTF-8: every byte that belongs to no character becomes U+FFFD.
std::string to_valid_utf8(std::string_view bytes);

}  // namespace megalith
