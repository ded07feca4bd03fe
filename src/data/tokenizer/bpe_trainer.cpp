#include "data/tokenizer/bpe_trainer.h"

#include <algorithm>
#include <optional>
#include <queue>
#include <unordered_map>
#include <utility>

#include "data/tokenizer/byte_level.h"
#include "data/tokenizer/piece_counts.h"
#include "data/tokenizer/tokenizer_model.h"

namespace megalith {
namespace {

constexpr std::int32_t kLargestTrained = 1 << 20;

// All distinct pieces, laid out one after the other, one position per byte. A merge keeps the left position
// and takes the right one out of the list, so a pair is known by the position of its left part, and the work
// of a merge is proportional to its occurrences.
class MergeLearner {
 public:
  // `parts` holds the special tokens, then the bytes; the learner adds to it.
  MergeLearner(std::vector<CountedPiece> pieces, std::int64_t least_count, TokenizerParts& parts)
      : parts_(parts), least_count_(least_count), heap_(Later{&parts.pieces}) {
    for (std::size_t id = parts.added.size(); id < parts.pieces.size(); ++id) {
      ids_.emplace(parts.pieces[id], static_cast<std::int32_t>(id));
    }
    lay_out(std::move(pieces));
    for (const auto& [pair, state] : pairs_) heap_.push({state.count, pair});
  }

  void learn(std::size_t vocabulary_size) {
    while (parts_.pieces.size() < vocabulary_size && !heap_.empty()) {
      const Candidate top = heap_.top();
      heap_.pop();
      const auto found = pairs_.find(top.pair);
      if (found == pairs_.end() || top.count < least_count_) continue;
      if (found->second.count != top.count) {  // fewer by now: it has to queue again
        heap_.push({found->second.count, top.pair});
        continue;
      }
      const std::optional<std::int32_t> merged = id_of_union(top.pair);
      if (!merged) continue;
      std::vector<std::int32_t> places = std::move(found->second.places);
      pairs_.erase(found);
      merge_all({.left = left_of(top.pair), .right = right_of(top.pair), .merged = *merged},
                std::move(places));
    }
  }

 private:
  using Pair = std::uint64_t;  // left id << 32 | right id
  struct PairState {
    std::int64_t count = 0;
    std::int32_t grown_in = -1;        // the last merge in which the count grew
    std::vector<std::int32_t> places;  // of left parts; some may have gone since
  };
  struct Candidate {
    std::int64_t count = 0;
    Pair pair = 0;
  };
  // Orders the heap: the most frequent first, then the greatest bytes.
  struct Later {
    const std::vector<std::string>* pieces;
    bool operator()(const Candidate& a, const Candidate& b) const {
      if (a.count != b.count) return a.count < b.count;
      const auto piece = [&](std::int32_t id) -> const std::string& {
        return (*pieces)[static_cast<std::size_t>(id)];
      };
      const int left = piece(left_of(a.pair)).compare(piece(left_of(b.pair)));
      return left != 0 ? left < 0 : piece(right_of(a.pair)) < piece(right_of(b.pair));
    }
  };

  static Pair pair_of(std::int32_t left, std::int32_t right) {
    return Pair{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
  }
  static std::int32_t left_of(Pair pair) { return static_cast<std::int32_t>(pair >> 32); }
  static std::int32_t right_of(Pair pair) { return static_cast<std::int32_t>(pair & 0xFFFFFFFFu); }
  static std::size_t index(std::int32_t place) { return static_cast<std::size_t>(place); }

  void lay_out(std::vector<CountedPiece> pieces) {
    std::size_t size = 0;
    for (const CountedPiece& piece : pieces) size += piece.bytes.size();
    symbols_.reserve(size);
    next_.reserve(size);
    previous_.reserve(size);
    piece_of_.reserve(size);
    counts_.reserve(pieces.size());
    for (CountedPiece& counted : pieces) {
      const CountedPiece piece = std::move(counted);  // frees its bytes as soon as they are laid out
      const auto begin = static_cast<std::int32_t>(symbols_.size());
      for (const char c : piece.bytes) {
        const auto place = static_cast<std::int32_t>(symbols_.size());
        symbols_.push_back(ids_.at(std::string(1, c)));
        previous_.push_back(place == begin ? -1 : place - 1);
        next_.push_back(place + 1);
        piece_of_.push_back(static_cast<std::int32_t>(counts_.size()));
      }
      next_.back() = -1;
      counts_.push_back(piece.count);
      for (std::int32_t at = begin; next_[index(at)] >= 0; ++at) {
        PairState& state = pairs_[pair_of(symbols_[index(at)], symbols_[index(at + 1)])];
        state.count += piece.count;
        state.places.push_back(at);
      }
    }
  }

  // The id of what the pair joins to: a fresh one, or that of a piece with the same bytes. Nothing when a
  // special token is spelled so: ordinary text must not become one.
  std::optional<std::int32_t> id_of_union(Pair pair) {
    std::string joined = parts_.pieces[index(left_of(pair))] + parts_.pieces[index(right_of(pair))];
    const std::string key = byte_level_key(joined);
    for (const AddedToken& token : parts_.added) {
      if (key == parts_.pieces[index(token.id)]) return std::nullopt;
    }
    const auto [found, fresh] = ids_.try_emplace(joined, static_cast<std::int32_t>(parts_.pieces.size()));
    if (fresh) parts_.pieces.push_back(std::move(joined));
    return found->second;
  }

  void merge_all(const Merge& merge, std::vector<std::int32_t> places) {
    const auto number = static_cast<std::int32_t>(parts_.merges.size());
    parts_.merges.push_back(merge);
    // Leftmost first, or "aaa" would merge differently here and when encoding.
    std::sort(places.begin(), places.end());
    std::vector<Pair> grown;
    for (const std::int32_t left : places) {
      const std::int32_t right = next_[index(left)];
      if (right < 0 || symbols_[index(left)] != merge.left || symbols_[index(right)] != merge.right) continue;
      const std::int64_t count = counts_[index(piece_of_[index(left)])];
      const std::int32_t before = previous_[index(left)], after = next_[index(right)];
      if (before >= 0) {
        shrink(pair_of(symbols_[index(before)], merge.left), count);
        grow(pair_of(symbols_[index(before)], merge.merged), count, before, number, grown);
      }
      if (after >= 0) {
        shrink(pair_of(merge.right, symbols_[index(after)]), count);
        grow(pair_of(merge.merged, symbols_[index(after)]), count, left, number, grown);
        previous_[index(after)] = left;
      }
      symbols_[index(left)] = merge.merged;
      symbols_[index(right)] = kGone;
      next_[index(left)] = after;
    }
    for (const Pair pair : grown) {
      if (const auto state = pairs_.find(pair); state != pairs_.end())
        heap_.push({state->second.count, pair});
    }
  }

  void shrink(Pair pair, std::int64_t count) {
    const auto found = pairs_.find(pair);
    if (found == pairs_.end()) return;  // the pair being merged, overlapping itself
    found->second.count -= count;
    if (found->second.count == 0) pairs_.erase(found);
  }

  void grow(Pair pair, std::int64_t count, std::int32_t place, std::int32_t merge, std::vector<Pair>& grown) {
    PairState& state = pairs_[pair];
    state.count += count;
    state.places.push_back(place);
    if (std::exchange(state.grown_in, merge) != merge) grown.push_back(pair);
  }

  static constexpr std::int32_t kGone = -1;

  TokenizerParts& parts_;
  std::int64_t least_count_;
  std::unordered_map<std::string, std::int32_t> ids_;  // by bytes; no special tokens
  std::vector<std::int32_t> symbols_, next_, previous_, piece_of_;
  std::vector<std::int64_t> counts_;  // by piece
  std::unordered_map<Pair, PairState> pairs_;
  std::priority_queue<Candidate, std::vector<Candidate>, Later> heap_;
};

Refusals problems_of(const BpeTrainingOptions& options) {
  Refusals refusals;
  const auto bound = [&](const char* what, auto value, auto least, auto most) {
    if (value >= least && value <= most) return;
    refusals.push_back({.where = what,
                        .found = fmt::format("{}", value),
                        .allowed = fmt::format("{} to {}", least, most),
                        .nearest = fmt::format("{}", std::clamp(value, least, most))});
  };
  const auto least = static_cast<std::int64_t>(256 + options.special_tokens.size());
  bound("vocabulary size", std::int64_t{options.vocabulary_size}, least,
        std::max<std::int64_t>(least, kLargestTrained));
  bound("threads", options.num_threads, 1, 1024);
  bound("least pair count", options.least_pair_count, std::int64_t{1}, std::int64_t{1} << 40);
  bound("bytes for distinct pieces", options.most_distinct_bytes, std::size_t{1} << 10, std::size_t{1} << 30);
  return refusals;
}

}  // namespace

Expected<Tokenizer> train_bpe(TextSource& source, const BpeTrainingOptions& options,
                              BpeTrainingReport* report) {
  if (Refusals refusals = problems_of(options); !refusals.empty()) return refuse(std::move(refusals));
  TokenizerParts parts;
  parts.pattern = options.pattern;
  for (const std::string& special : options.special_tokens) {
    parts.added.push_back({.id = static_cast<std::int32_t>(parts.pieces.size())});
    parts.pieces.push_back(special);
  }
  for (const std::uint8_t byte : bytes_in_alphabet_order())
    parts.pieces.emplace_back(1, static_cast<char>(byte));
  // Special tokens that will not do are refused before the text is read.
  if (Expected<Tokenizer> bare = Tokenizer::build(parts, "special tokens"); !bare) return bare;

  PieceCounts counts =
      count_pieces(source, options.num_threads, options.most_distinct_bytes, options.pattern);
  if (report != nullptr) {
    *report = {.text_bytes = counts.text_bytes,
               .pieces = counts.total,
               .distinct_pieces = static_cast<std::int64_t>(counts.pieces.size()),
               .forgotten_pieces = counts.forgotten};
  }
  MergeLearner(std::move(counts.pieces), options.least_pair_count, parts)
      .learn(static_cast<std::size_t>(options.vocabulary_size));
  return Tokenizer::build(std::move(parts), "trained tokenizer");
}

}  // namespace megalith
