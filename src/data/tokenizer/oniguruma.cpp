// What differs between the two and is translated: classes within classes, \s \d \w of Unicode, {,n}, names
// of scripts (PCRE2's plain names mean script extensions), code points by \u. What is refused: everything
// whose meaning depends on more than that, such as back references, options, intersections, named or
// conditional groups.
#include "data/tokenizer/oniguruma.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "data/tokenizer/quoted.h"
#include "data/tokenizer/utf8.h"

namespace megalith {
namespace {

// The complement of kPcre2WhiteSpace, for \S inside a class.
constexpr const char* kNotWhiteSpace =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{10ffff})";

constexpr std::array<std::string_view, 36> kCategories = {
    "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",  "Nd",
    "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S",  "Sm",
    "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Co", "Cn"};
constexpr std::array<std::string_view, 30> kScripts = {
    "Arabic",   "Armenian", "Bengali",  "Bopomofo", "Cyrillic",  "Devanagari", "Ethiopic", "Georgian",
    "Greek",    "Gujarati", "Gurmukhi", "Han",      "Hangul",    "Hebrew",     "Hiragana", "Kannada",
    "Katakana", "Khmer",    "Lao",      "Latin",    "Malayalam", "Mongolian",  "Myanmar",  "Oriya",
    "Sinhala",  "Tamil",    "Telugu",   "Thai",     "Tibetan",   "Cherokee"};

// Letters that one character stands for when case is ignored (the sharp s, ligatures): PCRE2 knows no such
// folding.
constexpr std::array<std::string_view, 5> kFoldTogether = {"ss", "ff", "fi", "fl", "st"};

bool is_ascii_letter(std::uint32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_ascii_digit(std::uint32_t c) {
  return c >= '0' && c <= '9';
}

class Translator {
 public:
  explicit Translator(std::string_view regex) : regex_(regex) {}

  Expected<std::string> run() && {
    alternatives(0);
    if (!failed() && at_ < regex_.size()) fail("a closing bracket that nothing opened");
    if (!failed()) return std::move(out_);
    return refuse({.where = "",
                   .found = fmt::format("{} at byte {} of {}", *problem_, problem_at_,
                                        '"' + printable(regex_, 200) + '"'),
                   .allowed = "what is known to mean the same to Oniguruma and to PCRE2",
                   .nearest = ""});
  }

 private:
  static constexpr int kDeepest = 50;
  static constexpr std::uint32_t kMostRepeats = 65535;  // PCRE2's

  [[nodiscard]] bool failed() const { return problem_.has_value(); }
  void fail(std::string what) {
    if (failed()) return;
    problem_ = std::move(what);
    problem_at_ = at_;
    at_ = regex_.size();
  }

  [[nodiscard]] bool next_is(std::string_view text) const { return regex_.substr(at_).starts_with(text); }
  bool take(std::string_view text) {
    if (!next_is(text)) return false;
    at_ += text.size();
    return true;
  }
  [[nodiscard]] char peek() const { return at_ < regex_.size() ? regex_[at_] : '\0'; }

  void alternatives(int depth) {
    while (at_ < regex_.size() && peek() != ')') {
      if (take("|")) {
        out_ += '|';
      } else {
        repeated_atom(depth);
      }
    }
  }

  // What may follow an atom: nothing can be repeated that matches no text of its own.
  enum class Repeat { no, yes };

  void repeated_atom(int depth) {
    const Repeat may = atom(depth);
    const bool interval = peek() == '{';
    if (failed() || (!interval && peek() != '*' && peek() != '+' && peek() != '?')) return;
    if (at_ == regex_.size()) return;
    if (may == Repeat::no) return fail("a repeat of what cannot be repeated");
    if (interval) {
      repeat_interval();
    } else {
      out_ += regex_[at_++];
      if (peek() == '+' || peek() == '?') out_ += regex_[at_++];
    }
    if (peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{') fail("a repeat of a repeat");
  }

  std::optional<std::uint32_t> number() {
    std::uint32_t value = 0;
    const std::size_t begin = at_;
    while (is_ascii_digit(static_cast<unsigned char>(peek())) && value <= kMostRepeats) {
      value = value * 10 + static_cast<std::uint32_t>(regex_[at_++] - '0');
    }
    return at_ == begin ? std::nullopt : std::optional(value);
  }

  void repeat_interval() {
    const std::size_t begin = at_++;
    const auto low = number();
    const bool exact = !take(",");
    const auto high = exact ? low : number();
    if ((!low && !high) || low.value_or(0) > high.value_or(kMostRepeats) || low.value_or(0) > kMostRepeats ||
        high.value_or(0) > kMostRepeats || !take("}")) {
      at_ = begin;
      return fail("\"{\" that begins no repeat {n}, {n,}, {n,m} or {,m}");
    }
    out_ += high ? fmt::format("{{{},{}}}", low.value_or(0), *high) : fmt::format("{{{},}}", *low);
    if (peek() == '?') {
      if (exact) return fail("\"{n}?\"");
      out_ += regex_[at_++];
    }
  }

  Repeat atom(int depth) {
    switch (peek()) {
      case '(':
        return group(depth);
      case '[':
        character_class();
        return Repeat::yes;
      case '\\':
        return escape();
      case '.':
        if (folding_) fail("\".\" where case is ignored");
        ++at_;
        out_ += '.';
        return Repeat::yes;
      case '^':
      case '$':
        out_ += regex_[at_++];
        return Repeat::no;
      case '*':
      case '+':
      case '?':
      case '{':
        fail(fmt::format("\"{}\" without anything before it", peek()));
        return Repeat::no;
      default:
        return literal(code_point());
    }
  }

  Repeat literal(std::uint32_t point) {
    out_ += fmt::format("\\x{{{:x}}}", point);
    if (!folding_) return Repeat::yes;
    if (point >= 0x80) fail("a letter beyond ASCII where case is ignored");
    const char lower = is_ascii_letter(point) ? static_cast<char>(point | 0x20) : '\0';
    const char pair[] = {before_, lower};
    for (const std::string_view together : kFoldTogether) {
      if (together == std::string_view(pair, 2)) fail(fmt::format("\"{}\" where case is ignored", together));
    }
    before_ = lower;
    return Repeat::no;  // so that no repeat puts letters side by side
  }

  std::uint32_t code_point() {
    const std::size_t size = utf8_sequence_length(regex_.substr(at_));
    if (size == 0) {
      fail("bytes that are not UTF-8");
      return 0;
    }
    std::uint32_t point = static_cast<unsigned char>(regex_[at_]);
    if (size > 1) point &= 0xFFu >> (size + 1);
    for (std::size_t i = 1; i < size; ++i) {
      point = point << 6 | (static_cast<unsigned char>(regex_[at_ + i]) & 0x3Fu);
    }
    at_ += size;
    return point;
  }

  Repeat group(int depth) {
    if (depth == kDeepest) {
      fail("groups nested deeper than 50");
      return Repeat::no;
    }
    Repeat repeat = Repeat::yes;
    const bool was_folding = folding_;
    const std::size_t begin = at_;
    if (take("(?:")) {
      out_ += "(?:";
    } else if (take("(?>")) {
      out_ += "(?>";
    } else if (take("(?i:")) {
      out_ += "(?i:";
      folding_ = true;
      before_ = '\0';
    } else if (next_is("(?=") || next_is("(?!") || next_is("(?<=") || next_is("(?<!")) {
      const std::size_t size = regex_[at_ + 2] == '<' ? 4 : 3;
      out_ += regex_.substr(at_, size);
      at_ += size;
      repeat = Repeat::no;
    } else if (next_is("(?") || next_is("(*")) {
      fail(fmt::format("\"{}\"", printable(regex_.substr(at_, 4), 4)));
    } else {
      take("(");
      out_ += "(?:";  // nothing refers to what it captures
    }
    alternatives(depth + 1);
    if (!failed() && !take(")")) {
      at_ = begin;
      fail("a group without its end");
    }
    out_ += ')';
    if (folding_) repeat = Repeat::no;
    if (folding_ && !was_folding) repeat = Repeat::yes;
    folding_ = was_folding;
    return repeat;
  }

  Repeat escape() {
    const std::size_t begin = at_;
    if (const auto boundary = boundary_escape()) {
      out_ += *boundary;
      return Repeat::no;
    }
    if (const auto set = set_escape(false)) {
      out_ += '[' + *set + ']';
      return folding_ ? Repeat::no : Repeat::yes;
    }
    if (failed()) return Repeat::no;
    at_ = begin;
    return literal(character_escape());
  }

  std::optional<std::string> boundary_escape() {
    if (take("\\A")) return "\\A";
    if (take("\\z")) return "\\z";
    return std::nullopt;
  }

  // What \s and its like stand for inside a class; nothing for other escapes.
  std::optional<std::string> set_escape(bool inside_a_class) {
    if (take("\\s")) return kPcre2WhiteSpace;
    if (take("\\S")) return kNotWhiteSpace;
    if (take("\\d")) return "\\p{Nd}";
    if (take("\\D")) return "\\P{Nd}";
    if (folding_ && (next_is("\\w") || next_is("\\W") || next_is("\\p") || next_is("\\P"))) {
      fail("a set of letters where case is ignored");
      return std::nullopt;
    }
    // Outside of classes Oniguruma has a table for characters below 256, whose words have six numbers more.
    constexpr const char* kNumbers = R"(\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";
    if (take("\\w")) return inside_a_class ? kPcre2Word : std::string(kPcre2Word) + kNumbers;
    if (!inside_a_class && take("\\W")) return "^" + std::string(kPcre2Word) + kNumbers;
    if (next_is("\\p{") || next_is("\\P{")) return property();
    return std::nullopt;
  }

  std::optional<std::string> property() {
    const std::size_t begin = at_;
    bool negated = regex_[at_ + 1] == 'P';
    at_ += 3;
    if (take("^")) negated = !negated;
    const std::size_t end = std::min(regex_.find('}', at_), regex_.size());
    const std::string_view name = regex_.substr(at_, end - at_);
    const char* prefix = nullptr;
    if (std::find(kCategories.begin(), kCategories.end(), name) != kCategories.end()) prefix = "";
    if (std::find(kScripts.begin(), kScripts.end(), name) != kScripts.end()) prefix = "sc:";
    if (prefix == nullptr || end == regex_.size()) {
      at_ = begin;
      fail(fmt::format("the property {}", quoted_for_message(std::string(name))));
      return std::nullopt;
    }
    at_ = end + 1;
    return fmt::format("\\{}{{{}{}}}", negated ? 'P' : 'p', prefix, name);
  }

  // The code point that an escape at at_ stands for.
  std::uint32_t character_escape() {
    constexpr std::string_view kNames = "nrtfvae";
    constexpr std::string_view kPoints = "\n\r\t\f\v\a\x1b";
    const std::size_t begin = at_++;
    const char name = peek();
    if (const std::size_t known = kNames.find(name); name != '\0' && known != std::string_view::npos) {
      ++at_;
      return static_cast<unsigned char>(kPoints[known]);
    }
    if (take("u")) {
      if (const auto point = hexadecimal(4, 4)) return *point;
    } else if (take("x{")) {
      if (const auto point = hexadecimal(1, 6); point && take("}")) return *point;
    } else if (take("x")) {
      if (const auto byte = hexadecimal(2, 2); byte && *byte < 0x80) return *byte;
    } else if (at_ < regex_.size() && !is_ascii_letter(static_cast<unsigned char>(name)) &&
               !is_ascii_digit(static_cast<unsigned char>(name))) {
      return code_point();
    }
    at_ = begin;
    fail(fmt::format("\"{}\"", printable(regex_.substr(at_, 2), 4)));
    return 0;
  }

  std::optional<std::uint32_t> hexadecimal(std::size_t least, std::size_t most) {
    std::uint32_t value = 0;
    std::size_t digits = 0;
    constexpr std::string_view kDigits = "0123456789abcdef";
    for (; digits < most && at_ < regex_.size(); ++digits, ++at_) {
      const char c = regex_[at_];
      const std::size_t digit =
          kDigits.find(is_ascii_letter(static_cast<unsigned char>(c)) ? static_cast<char>(c | 0x20) : c);
      if (digit == std::string_view::npos) break;
      value = value * 16 + static_cast<std::uint32_t>(digit);
    }
    if (digits < least || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return std::nullopt;
    return value;
  }

  void character_class() {
    const std::size_t begin = at_;
    take("[");
    out_ += '[';
    if (take("^")) {
      out_ += '^';
      if (folding_) fail("a negated class where case is ignored");
    }
    class_items(0);
    if (!failed() && !take("]")) {
      at_ = begin;
      fail("a class without its end");
    }
    out_ += ']';
    before_ = '\0';
  }

  // Up to the bracket that ends the class. A class within the class adds its members to it.
  void class_items(int depth) {
    if (depth == kDeepest) return fail("classes nested deeper than 50");
    if (peek() == ']') return fail("a class that begins with \"]\"");
    for (bool first = true; at_ < regex_.size() && peek() != ']'; first = false) {
      if (next_is("&&")) return fail("\"&&\" in a class");
      if (next_is("[^") || next_is("[:"))
        return fail(fmt::format("\"{}\" in a class", regex_.substr(at_, 2)));
      if (take("[")) {
        class_items(depth + 1);
        if (!failed() && !take("]")) fail("a class without its end");
      } else if (const auto set = set_escape(true)) {
        out_ += *set;
      } else if (peek() == '-' && !first && !next_is("-]")) {
        return fail("\"-\" between what makes no range");
      } else {
        class_range();
      }
    }
  }

  void class_range() {
    const std::uint32_t low = class_character();
    std::uint32_t high = low;
    if (peek() == '-' && !next_is("-]")) {
      ++at_;
      if (next_is("[")) return fail("a range that ends in a class");
      high = class_character();
    }
    if (high < low) return fail("a range whose end comes before its beginning");
    if (folding_ && high >= 0x80) return fail("a letter beyond ASCII where case is ignored");
    out_ += high == low ? fmt::format("\\x{{{:x}}}", low) : fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", low, high);
  }

  std::uint32_t class_character() {
    if (failed()) return 0;
    return peek() == '\\' ? character_escape() : code_point();
  }

  std::string_view regex_;
  std::size_t at_ = 0;
  std::string out_;
  bool folding_ = false;  // inside (?i:
  char before_ = '\0';    // the ASCII letter before, in lower case, where case is ignored
  std::optional<std::string> problem_;
  std::size_t problem_at_ = 0;
};

}  // namespace

Expected<std::string> pcre2_source_of_oniguruma(std::string_view regex) {
  return Translator(regex).run();
}

std::string pcre2_source_of_literal(std::string_view text) {
  std::string source;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) {
      source += c;
    } else {
      source += fmt::format("\\x{{{:x}}}", static_cast<unsigned char>(c));
    }
  }
  return source;
}

}  // namespace megalith
