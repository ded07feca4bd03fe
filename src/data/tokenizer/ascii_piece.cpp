#include "data/tokenizer/ascii_piece.h"

#include <array>
#include <cstdint>

namespace megalith {
namespace {

// One bit each, so that a set of classes is a mask.
enum Class : std::uint8_t {
  kUpper = 1,
  kLower = 2,
  kDigit = 4,
  kSpace = 8,     // white space but line ends
  kNewline = 16,  // \r and \n
  kSymbol = 32,   // what is left of ASCII
  kBeyond = 64,   // no ASCII
  kEnd = 128,     // behind the text
};
constexpr std::uint8_t kLetter = kUpper | kLower;
constexpr std::uint8_t kWhite = kSpace | kNewline;

constexpr std::array<std::uint8_t, 256> kClasses = [] {
  std::array<std::uint8_t, 256> classes{};
  for (unsigned c = 0; c < 256; ++c) {
    classes[c] = c >= 'A' && c <= 'Z'                ? kUpper
                 : c >= 'a' && c <= 'z'              ? kLower
                 : c >= '0' && c <= '9'              ? kDigit
                 : c == '\r' || c == '\n'            ? kNewline
                 : c == ' ' || (c >= 9 && c <= 0x0D) ? kSpace
                 : c >= 0x80                         ? kBeyond
                                                     : kSymbol;
  }
  return classes;
}();

class Cutter {
 public:
  explicit Cutter(std::string_view text) : text_(text) {}

  std::size_t gpt2() const {
    if (const std::size_t size = contraction(0, false); size > 0) return size == kUnknown ? 0 : size;
    const std::size_t from = text_[0] == ' ' ? 1 : 0;
    for (const std::uint8_t set : {kLetter, std::uint8_t{kDigit}, std::uint8_t{kSymbol}}) {
      if (is(from, set)) return known(run(from, set));
    }
    return from < text_.size() && is(from, kBeyond) ? 0 : white_space(false);
  }

  // `most_digits` is 3 for cl100k and 1 for Qwen2.
  std::size_t cl100k(std::size_t most_digits) const {
    if (const std::size_t size = contraction(0, true); size > 0) return size == kUnknown ? 0 : size;
    if (is(0, kLetter)) return known(run(0, kLetter));
    if (!is(0, kDigit | kNewline)) {
      if (is(1, kBeyond)) return 0;
      if (is(1, kLetter)) return known(run(1, kLetter));
    }
    return numbers_symbols_and_space(most_digits, kNewline, '\n');
  }

  std::size_t o200k() const {
    const std::size_t from = is(0, kLetter | kDigit | kNewline) ? 0 : 1;
    if (is(from, kBeyond)) return 0;
    if (is(from, kLetter)) {
      const std::size_t end = run(run(from, kUpper), kLower);
      if (is(end, kBeyond)) return 0;
      const std::size_t size = contraction(end, true);
      return size == kUnknown ? 0 : end + size;
    }
    return numbers_symbols_and_space(3, kNewline, '/');
  }

 private:
  static constexpr std::size_t kUnknown = SIZE_MAX;

  [[nodiscard]] bool is(std::size_t at, unsigned classes) const {
    return (at < text_.size() ? kClasses[static_cast<std::uint8_t>(text_[at])] & classes : kEnd & classes) !=
           0;
  }
  // The end of the run of `classes` from `at` on.
  [[nodiscard]] std::size_t run(std::size_t at, unsigned classes) const {
    while (is(at, classes)) ++at;
    return at;
  }
  // A run that ends at `end` is all there is unless what follows may belong to it.
  [[nodiscard]] std::size_t known(std::size_t end) const { return is(end, kBeyond) ? 0 : end; }

  // Bytes of 's, 't, 're, 've, 'm, 'll, 'd at `at`; 0 for none. With `any_case`, some letters beyond ASCII
  // fold to these, so what follows has to be ASCII.
  [[nodiscard]] std::size_t contraction(std::size_t at, bool any_case) const {
    if (at >= text_.size() || text_[at] != '\'') return 0;
    if (any_case && is(at + 1, kBeyond)) return kUnknown;
    const auto letter = [&](std::size_t i) {
      const char c = i < text_.size() ? text_[i] : '\0';
      return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    };
    const char first = letter(at + 1), second = letter(at + 2);
    if (first == 's' || first == 'd' || first == 'm' || first == 't') return 2;
    const bool two = (first == 'l' && second == 'l') || ((first == 'v' || first == 'r') && second == 'e');
    return two ? 3 : 0;
  }

  // ` ?symbols` with what may end them (line ends and `also`), numbers, and white space.
  [[nodiscard]] std::size_t numbers_symbols_and_space(std::size_t most_digits, unsigned ends,
                                                      char also) const {
    if (is(0, kDigit)) {
      std::size_t size = 1;
      while (size < most_digits && is(size, kDigit)) ++size;
      return size < most_digits ? known(size) : size;
    }
    const std::size_t from = text_[0] == ' ' ? 1 : 0;
    if (is(from, kSymbol)) {
      std::size_t end = run(from, kSymbol);
      if (is(end, kBeyond)) return 0;
      while (is(end, ends) || (end < text_.size() && text_[end] == also)) ++end;
      return end;
    }
    return from == 1 && is(1, kBeyond) ? 0 : white_space(true);
  }

  // A run of white space up to its last line end, where the pattern has that; all of it at the end of the
  // text; and before something else all but its last character, which belongs to what follows.
  [[nodiscard]] std::size_t white_space(bool ends_with_lines) const {
    const std::size_t end = run(0, kWhite);
    if (end == 0 || is(end, kBeyond)) return 0;
    if (ends_with_lines) {
      const std::size_t newline = text_.substr(0, end).find_last_of("\r\n");
      if (newline != std::string_view::npos) return newline + 1;
    }
    return end == text_.size() || end == 1 ? end : end - 1;
  }

  std::string_view text_;
};

}  // namespace

std::size_t ascii_piece(PiecePattern pattern, std::string_view text) {
  if (text.empty() || static_cast<std::uint8_t>(text[0]) >= 0x80) return 0;
  const Cutter cutter(text);
  switch (pattern) {
    case PiecePattern::gpt2:
      return cutter.gpt2();
    case PiecePattern::cl100k:
      return cutter.cl100k(3);
    case PiecePattern::qwen2:
      return cutter.cl100k(1);
    case PiecePattern::o200k:
      return cutter.o200k();
  }
  return 0;
}

}  // namespace megalith
