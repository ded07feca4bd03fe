#include "app/sample_checks.h"

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "data/tokenizer/utf8.h"

namespace megalith::app {
namespace {

constexpr std::size_t kShortestWord = 4;
constexpr std::size_t kRun = 8;  // words

bool is_ascii_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

char32_t code_point(std::string_view bytes) {
  const auto first = static_cast<unsigned char>(bytes[0]);
  char32_t value = bytes.size() == 1 ? first : first & (0xffu >> (bytes.size() + 1));
  for (const char c : bytes.substr(1)) value = value << 6 | (static_cast<unsigned char>(c) & 0x3fu);
  return value;
}

// Of other scripts everything is a letter but the signs of Latin-1 and the blocks of punctuation, arrows,
// frames and other symbols.
bool is_letter(std::string_view bytes) {
  if (bytes.size() == 1) return is_ascii_letter(bytes[0]);
  const char32_t c = code_point(bytes);
  return c >= 0xC0 && !(c >= 0x2000 && c < 0x2C00) && !(c >= 0x3000 && c < 0x3040);
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

struct Word {
  std::string text;  // ASCII in lower case
  std::size_t letters = 0;
  bool whole = false;  // touches neither end of the text, where it may have been cut
};

template <class Use>
void for_each_word(std::string_view text, Use use) {
  Word word;
  bool at_start = true;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = std::max<std::size_t>(utf8_sequence_length(text.substr(i)), 1);
    const std::string_view bytes = text.substr(i, length);
    if (is_letter(bytes)) {
      word.text += length == 1 ? std::string(1, lower(bytes[0])) : std::string(bytes);
      ++word.letters;
    } else {
      word.whole = !at_start;
      if (word.letters > 0) use(std::as_const(word));
      word = {};
      at_start = false;
    }
    i += length;
  }
  if (word.letters > 0) use(std::as_const(word));
}

bool is_judged(const Word& word) {
  return word.whole && word.letters >= kShortestWord;
}

void count_known_words(std::span<const std::string> samples, std::string_view training,
                       SampleChecks& checks) {
  std::unordered_set<std::string> unseen;  // words of the samples not met in the training text so far
  for (const std::string& sample : samples) {
    for_each_word(sample, [&](const Word& word) {
      if (is_judged(word)) unseen.insert(word.text);
    });
  }
  for_each_word(training, [&](const Word& word) { unseen.erase(word.text); });
  std::size_t known = 0;
  for (const std::string& sample : samples) {
    for_each_word(sample, [&](const Word& word) {
      if (!is_judged(word)) return;
      ++checks.words;
      known += unseen.count(word.text) == 0 ? 1 : 0;
    });
  }
  checks.known_share =
      checks.words == 0 ? 1.0 : static_cast<double>(known) / static_cast<double>(checks.words);
}

void count_repeats(std::span<const std::string> samples, SampleChecks& checks) {
  for (const std::string& sample : samples) {
    std::vector<std::string> words;
    for_each_word(sample, [&](const Word& word) { words.push_back(word.text); });
    std::unordered_map<std::string, std::size_t> counts;
    for (std::size_t start = 0; start + kRun <= words.size(); ++start) {
      std::string run = words[start];
      for (std::size_t i = 1; i < kRun; ++i) run += " " + words[start + i];
      const std::size_t count = ++counts[run];
      if (count <= checks.most_repeats) continue;
      checks.most_repeats = count;
      if (count >= 3) checks.repeated_words = run;
    }
  }
}

// Hashes of all passages of one length, each from the one before it (Rabin and Karp), modulo 2^64 with an odd
// base.
class RollingHash {
 public:
  explicit RollingHash(std::size_t length) : length_(length) {
    for (std::size_t i = 0; i < length; ++i) leaving_ *= kBase;
  }
  // Calls use(hash, start); stops when it returns true.
  template <class Use>
  void over(std::string_view text, Use use) const {
    std::uint64_t hash = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      hash = hash * kBase + value(text[i]);
      if (i >= length_) hash -= leaving_ * value(text[i - length_]);
      if (i + 1 >= length_ && use(mix(hash), i + 1 - length_)) return;
    }
  }

 private:
  static constexpr std::uint64_t kBase = 0x9E3779B97F4A7C15u;
  static std::uint64_t value(char c) { return static_cast<unsigned char>(c) + 1u; }
  static std::uint64_t mix(std::uint64_t x) { return x ^ (x >> 29); }
  std::size_t length_;
  std::uint64_t leaving_ = 1;  // kBase to the power of the length
};

// A passage of `length` bytes that stands in both; empty when there is none. Hashes find, comparison decides.
std::string common_passage(std::span<const std::string> samples, std::string_view training,
                           std::size_t length) {
  const RollingHash rolling(length);
  std::unordered_multimap<std::uint64_t, std::string_view> passages;
  for (const std::string& sample : samples) {
    rolling.over(sample, [&](std::uint64_t hash, std::size_t start) {
      const std::string_view passage = std::string_view(sample).substr(start, length);
      const auto [begin, end] = passages.equal_range(hash);
      if (std::none_of(begin, end, [&](const auto& entry) { return entry.second == passage; })) {
        passages.emplace(hash, passage);
      }
      return false;
    });
  }
  std::string found;
  rolling.over(training, [&](std::uint64_t hash, std::size_t start) {
    const auto [begin, end] = passages.equal_range(hash);
    for (auto entry = begin; entry != end; ++entry) {
      if (entry->second == training.substr(start, length)) found = entry->second;
    }
    return !found.empty();
  });
  return found;
}

// Every part of a common passage is one too, so the longest is found by halving.
void find_longest_copy(std::span<const std::string> samples, std::string_view training,
                       SampleChecks& checks) {
  std::size_t low = 0;
  std::size_t high = 0;
  for (const std::string& sample : samples) high = std::max(high, std::min(sample.size(), training.size()));
  while (low < high) {
    const std::size_t middle = (low + high + 1) / 2;
    if (std::string passage = common_passage(samples, training, middle); !passage.empty()) {
      checks.copied_text = std::move(passage);
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  checks.longest_copy = low;
}

}  // namespace

SampleChecks check_samples(std::span<const std::string> samples, std::string_view training) {
  SampleChecks checks;
  count_known_words(samples, training, checks);
  count_repeats(samples, checks);
  find_longest_copy(samples, training, checks);
  return checks;
}

}  // namespace megalith::app
