// tiktoken's rank files: one line per token, its bytes in base64, a space, its rank (which is its id). There
// are no merges in them: any two adjacent parts whose union is a token may join, the least rank first. A
// token is therefore always made of the same two parts, those that its own bytes come to last, and these are
// its merge.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/digest.h"
#include "data/tokenizer/quoted.h"
#include "data/tokenizer/tokenizer_model.h"
#include "data/tokenizer/vocabulary_files.h"

namespace megalith {
namespace {

constexpr std::size_t kLongestToken = 256;   // bytes; of the published ones the longest has 128
constexpr std::size_t kMostUnusedIds = 256;  // between and behind the ranks of the known files

struct SpecialToken {
  std::int32_t id;
  const char* content;
};

// A published file, known by the number of its lines.
struct KnownFile {
  std::size_t lines;
  PiecePattern pattern;
  bool nfc;
  std::vector<SpecialToken> special;
};

const KnownFile* known_file(std::size_t lines) {
  static const std::array<KnownFile, 5> kKnown{{
      {50256, PiecePattern::gpt2, false, {{50256, "<|endoftext|>"}}},  // r50k
      {50280, PiecePattern::gpt2, false, {{50256, "<|endoftext|>"}}},  // p50k
      {100256,
       PiecePattern::cl100k,
       false,
       {{100257, "<|endoftext|>"},
        {100258, "<|fim_prefix|>"},
        {100259, "<|fim_middle|>"},
        {100260, "<|fim_suffix|>"},
        {100276, "<|endofprompt|>"}}},
      {151643,
       PiecePattern::qwen2,
       true,
       {{151643, "<|endoftext|>"}, {151644, "<|im_start|>"}, {151645, "<|im_end|>"}}},
      {199998, PiecePattern::o200k, false, {{199999, "<|endoftext|>"}, {200018, "<|endofprompt|>"}}},
  }};
  const auto found =
      std::find_if(kKnown.begin(), kKnown.end(), [&](const KnownFile& file) { return file.lines == lines; });
  return found == kKnown.end() ? nullptr : &*found;
}

// Nothing for what is not base64 with its padding.
std::optional<std::string> from_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::string bytes;
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    std::uint32_t value = 0;
    if (i + padding >= text.size()) {
      value = 0;
    } else if (c >= 'A' && c <= 'Z') {
      value = static_cast<std::uint32_t>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      value = static_cast<std::uint32_t>(c - 'a') + 26;
    } else if (c >= '0' && c <= '9') {
      value = static_cast<std::uint32_t>(c - '0') + 52;
    } else if (c == '+' || c == '/') {
      value = c == '+' ? 62 : 63;
    } else {
      return std::nullopt;
    }
    bits = bits << 6 | value;
    if (i % 4 == 3) {
      for (int shift = 16; shift >= 0; shift -= 8) bytes += static_cast<char>(bits >> shift & 0xFF);
    }
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

struct BytesHash {
  std::size_t operator()(std::string_view bytes) const { return digest_bytes(bytes.data(), bytes.size()); }
};
using Ranks = std::unordered_map<std::string_view, std::int32_t, BytesHash>;

// Finds the two parts that a token is made of.
class PartsFinder {
 public:
  explicit PartsFinder(const Ranks& ranks) : ranks_(&ranks) {}

  // Position of the cut between the two; 0 when the token's bytes never come to two parts.
  std::size_t cut_of(std::string_view token) {
    starts_.resize(token.size() + 1);
    for (std::size_t i = 0; i <= token.size(); ++i) starts_[i] = i;
    rank_of_pair_.resize(token.size() - 1);
    for (std::size_t i = 0; i + 1 < token.size(); ++i) rank_of_pair_[i] = rank_at(token, i);
    while (starts_.size() > 3) {
      const auto least = std::min_element(rank_of_pair_.begin(), rank_of_pair_.end());
      if (*least == kNone) return 0;
      const auto at = least - rank_of_pair_.begin();
      starts_.erase(starts_.begin() + at + 1);
      rank_of_pair_.erase(least);
      const auto pair = static_cast<std::size_t>(at);
      if (pair > 0) rank_of_pair_[pair - 1] = rank_at(token, pair - 1);
      if (pair < rank_of_pair_.size()) rank_of_pair_[pair] = rank_at(token, pair);
    }
    return starts_[1];
  }

 private:
  static constexpr std::int32_t kNone = INT32_MAX;

  std::int32_t rank_at(std::string_view token, std::size_t pair) const {
    const auto found = ranks_->find(token.substr(starts_[pair], starts_[pair + 2] - starts_[pair]));
    return found == ranks_->end() ? kNone : found->second;
  }

  const Ranks* ranks_;
  std::vector<std::size_t> starts_;  // of the parts, then the end
  std::vector<std::int32_t> rank_of_pair_;
};

class RankFileReader {
 public:
  RankFileReader(std::string_view name, std::optional<PiecePattern> pattern)
      : pattern_(pattern), parts_(name) {}

  Expected<Tokenizer> read(std::string_view text) && {
    read_lines(text);
    if (!parts_.any_problem()) settle_kind();
    if (!parts_.any_problem()) place_tokens();
    if (!parts_.any_problem()) recover_merges();
    return std::move(parts_).finish();
  }

 private:
  void read_lines(std::string_view text) {
    std::size_t line_number = 0;
    while (!text.empty() && tokens_.size() <= kLargestVocabulary) {
      ++line_number;
      const std::size_t end = std::min(text.find('\n'), text.size());
      std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      if (line.empty()) continue;
      const auto refuse_line = [&](std::string allowed) {
        parts_.refuse_because(fmt::format("line {}", line_number), quoted_for_message(line),
                              std::move(allowed));
      };
      const std::size_t space = std::min(line.find(' '), line.size());
      std::optional<std::string> bytes = from_base64(line.substr(0, space));
      std::int32_t rank = -1;
      const std::string_view number = line.substr(std::min(space + 1, line.size()));
      const auto [stopped, error] = std::from_chars(number.data(), number.data() + number.size(), rank);
      if (!bytes || error != std::errc() || stopped != number.data() + number.size() || rank < 0) {
        refuse_line("a token in base64, a space and its rank");
        if (tokens_.empty()) return;  // no rank file at all
      } else if (bytes->empty() || bytes->size() > kLongestToken) {
        refuse_line(fmt::format("a token of 1 to {} bytes", kLongestToken));
      } else {
        tokens_.push_back({rank, *std::move(bytes)});
      }
    }
  }

  void settle_kind() {
    known_ = known_file(tokens_.size());
    if (pattern_ || known_ != nullptr) {
      parts_.parts().pattern = pattern_.value_or(known_ != nullptr ? known_->pattern : PiecePattern::gpt2);
      parts_.parts().nfc = known_ != nullptr && known_->nfc;
      return;
    }
    parts_.refuse_because("pattern",
                          fmt::format("a vocabulary of {} tokens, which is none of the known ones ("
                                      "50256, 50280, 100256, 151643, 199998)",
                                      tokens_.size()),
                          "a pattern: " + pattern_names(),
                          "megalith tokenizer convert RANKS --pattern cl100k --output tokenizer.json");
  }

  void place_tokens() {
    std::size_t entries = tokens_.size();
    if (known_ != nullptr)
      entries = std::max(entries, static_cast<std::size_t>(known_->special.back().id) + 1);
    for (const auto& [rank, bytes] : tokens_) {
      // A known file may leave out a few ranks, but no line makes the vocabulary larger than the file
      // warrants.
      const std::size_t most = tokens_.size() + (known_ != nullptr ? kMostUnusedIds : 0);
      if (static_cast<std::size_t>(rank) < most)
        entries = std::max(entries, static_cast<std::size_t>(rank) + 1);
    }
    std::vector<std::string>& pieces = parts_.parts().pieces;
    pieces.assign(entries, {});
    for (auto& [rank, bytes] : tokens_) {
      const auto id = static_cast<std::size_t>(rank);
      if (id >= entries) {
        parts_.refuse_because(fmt::format("rank {}", rank), fmt::format("{} tokens", tokens_.size()),
                              "ranks from 0 without holes");
      } else if (!pieces[id].empty()) {
        parts_.refuse_because(fmt::format("rank {}", rank), "two tokens with it", "each rank once");
      } else {
        pieces[id] = std::move(bytes);
      }
    }
    if (parts_.any_problem() || known_ == nullptr) return;
    const auto add_special = [&](std::int32_t id, std::string content) {
      pieces[static_cast<std::size_t>(id)] = std::move(content);
      parts_.parts().added.push_back({.id = id});
    };
    for (const SpecialToken& token : known_->special) {
      if (pieces[static_cast<std::size_t>(token.id)].empty()) {
        add_special(token.id, token.content);
      } else {
        parts_.refuse_because(fmt::format("rank {}", token.id), "a token",
                              fmt::format("none: {} has this id", token.content));
      }
    }
    for (std::size_t id = 0; id < entries; ++id) {
      if (pieces[id].empty()) add_special(static_cast<std::int32_t>(id), fmt::format("<|unused_{}|>", id));
    }
  }

  void recover_merges() {
    TokenizerParts& parts = parts_.parts();
    std::vector<bool> is_special(parts.pieces.size(), false);
    for (const AddedToken& token : parts.added) is_special[static_cast<std::size_t>(token.id)] = true;
    Ranks ranks(parts.pieces.size());
    for (std::size_t id = 0; id < parts.pieces.size(); ++id) {
      if (!is_special[id]) ranks.emplace(parts.pieces[id], static_cast<std::int32_t>(id));
    }
    PartsFinder finder(ranks);
    for (std::size_t id = 0; id < parts.pieces.size(); ++id) {
      const std::string_view token = parts.pieces[id];
      if (is_special[id] || token.size() < 2) continue;
      const std::size_t cut = finder.cut_of(token);
      const auto left = ranks.find(token.substr(0, cut)), right = ranks.find(token.substr(cut));
      if (cut == 0 || left == ranks.end() || right == ranks.end()) {
        parts.whole_pieces = true;  // reached only when it is the whole piece
        continue;
      }
      parts.merges.push_back(
          {.left = left->second, .right = right->second, .merged = static_cast<std::int32_t>(id)});
    }
  }

  std::optional<PiecePattern> pattern_;
  PartsReader parts_;
  std::vector<std::pair<std::int32_t, std::string>> tokens_;
  const KnownFile* known_ = nullptr;
};

}  // namespace

Expected<Tokenizer> Tokenizer::parse_rank_file(std::string_view text, std::string_view name,
                                               std::optional<PiecePattern> pattern) {
  return RankFileReader(name, pattern).read(text);
}

}  // namespace megalith
