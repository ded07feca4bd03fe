#include "data/tokenizer/piece_pattern.h"

#include <array>
#include <utility>

#include "core/error.h"

namespace megalith {
namespace {

constexpr std::array<std::pair<PiecePattern, std::string_view>, 4> kNames{{{PiecePattern::gpt2, "gpt2"},
                                                                           {PiecePattern::cl100k, "cl100k"},
                                                                           {PiecePattern::qwen2, "qwen2"},
                                                                           {PiecePattern::o200k, "o200k"}}};

constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kCl100kRegex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kO200kRegex =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Other spellings that give the same pieces on every text.
constexpr std::array<std::pair<std::string_view, PiecePattern>, 2> kOtherSpellings{{
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", PiecePattern::gpt2},
    {R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)",
     PiecePattern::gpt2},
}};

// White_Space of Unicode, which has not changed since version 6.3, to be used inside a character class.
#define MEGALITH_WHITE_SPACE \
  R"(\x{09}-\x{0d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})"
#define MEGALITH_SYMBOL R"([^\p{L}\p{N})" MEGALITH_WHITE_SPACE "]"
#define MEGALITH_SPACES \
  "[" MEGALITH_WHITE_SPACE "]+(?![^" MEGALITH_WHITE_SPACE "])|[" MEGALITH_WHITE_SPACE "]++"
#define MEGALITH_LINES "[" MEGALITH_WHITE_SPACE R"(]*[\r\n]++|)"
#define MEGALITH_CONTRACTION "'(?i:[sdmt]|ll|ve|re)"
#define MEGALITH_UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define MEGALITH_LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"

constexpr const char* kGpt2Source =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?)" MEGALITH_SYMBOL "++|" MEGALITH_SPACES;
constexpr const char* kCl100kSource =
    MEGALITH_CONTRACTION R"(|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?)" MEGALITH_SYMBOL
                         R"(++[\r\n]*+|)" MEGALITH_LINES MEGALITH_SPACES;
constexpr const char* kQwen2Source = MEGALITH_CONTRACTION
    R"(|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}| ?)" MEGALITH_SYMBOL R"(++[\r\n]*+|)" MEGALITH_LINES MEGALITH_SPACES;
// A mark may be the character before the word or a part of the word, so that choice stays open (no ?+).
constexpr const char* kO200kSource =
    R"([^\r\n\p{L}\p{N}]?)" MEGALITH_UPPER "*" MEGALITH_LOWER "++(?:" MEGALITH_CONTRACTION
    ")?+|"
    R"([^\r\n\p{L}\p{N}]?)" MEGALITH_UPPER "++" MEGALITH_LOWER "*+(?:" MEGALITH_CONTRACTION
    ")?+|"
    R"(\p{N}{1,3}+| ?)" MEGALITH_SYMBOL R"(++[\r\n/]*+|)" MEGALITH_LINES MEGALITH_SPACES;

// One group for each CharacterKind, in the order of their bits.
constexpr const char* kKindsSource =
    R"(([\p{Lu}\p{Lt}]++)|(\p{Ll}++)|([\p{Lm}\p{Lo}]++)|(\p{M}++)|(\p{N}++)|((?:(?![\r\n])[)" MEGALITH_WHITE_SPACE
    R"(])++)|([\r\n]++)|([^\p{L}\p{M}\p{N})" MEGALITH_WHITE_SPACE "]++)";

#undef MEGALITH_WHITE_SPACE
#undef MEGALITH_SYMBOL
#undef MEGALITH_SPACES
#undef MEGALITH_LINES
#undef MEGALITH_CONTRACTION
#undef MEGALITH_UPPER
#undef MEGALITH_LOWER

}  // namespace

std::string_view name_of(PiecePattern pattern) {
  for (const auto& [known, name] : kNames) {
    if (known == pattern) return name;
  }
  MEGALITH_CHECK(false, "pattern {}", static_cast<int>(pattern));
  return {};
}

std::string pattern_names() {
  std::string names;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (i > 0) names += i + 1 == kNames.size() ? " or " : ", ";
    names += kNames[i].second;
  }
  return names;
}

std::optional<PiecePattern> pattern_named(std::string_view name) {
  for (const auto& [pattern, known] : kNames) {
    if (known == name) return pattern;
  }
  return std::nullopt;
}

std::string_view regex_of(PiecePattern pattern) {
  switch (pattern) {
    case PiecePattern::gpt2:
      return kGpt2Regex;
    case PiecePattern::cl100k:
      return kCl100kRegex;
    case PiecePattern::qwen2:
      return kQwen2Regex;
    case PiecePattern::o200k:
      return kO200kRegex;
  }
  return {};
}

std::optional<PiecePattern> pattern_of_regex(std::string_view regex) {
  for (const auto& [pattern, name] : kNames) {
    if (regex_of(pattern) == regex) return pattern;
  }
  for (const auto& [spelling, pattern] : kOtherSpellings) {
    if (spelling == regex) return pattern;
  }
  return std::nullopt;
}

std::string pcre2_source_of(PiecePattern pattern) {
  switch (pattern) {
    case PiecePattern::gpt2:
      return kGpt2Source;
    case PiecePattern::cl100k:
      return kCl100kSource;
    case PiecePattern::qwen2:
      return kQwen2Source;
    case PiecePattern::o200k:
      return kO200kSource;
  }
  return {};
}

std::string pcre2_source_of_kinds() {
  return kKindsSource;
}

}  // namespace megalith
