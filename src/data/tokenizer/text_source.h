// Where training text comes from, one text after the other.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace megalith {

class TextSource {
 public:
  TextSource() = default;
  TextSource(const TextSource&) = delete;
  TextSource& operator=(const TextSource&) = delete;
  virtual ~TextSource() = default;

  // The next text, of any size (a whole mapped file is fine); no piece spans two texts. It stays valid until
  // the next call. False at the end. May throw WorldFailed or RefusedInput, which the reader passes on.
  virtual bool next(std::string_view& text) = 0;
};

class TextsInMemory final : public TextSource {
 public:
  explicit TextsInMemory(std::vector<std::string> texts) : texts_(std::move(texts)) {}
  bool next(std::string_view& text) override {
    if (at_ == texts_.size()) return false;
    text = texts_[at_++];
    return true;
  }

 private:
  std::vector<std::string> texts_;
  std::size_t at_ = 0;
};

}  // namespace megalith
