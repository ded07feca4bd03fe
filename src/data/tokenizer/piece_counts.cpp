#include "data/tokenizer/piece_counts.h"

#include <algorithm>
#include <functional>
#include <span>
#include <string_view>
#include <unordered_map>

#include "core/digest.h"
#include "core/thread_pool.h"
#include "data/tokenizer/piece_splitter.h"

namespace megalith {
namespace {

// Text is counted in batches of slices, cut where no piece is. Both sizes are fixed, so that what is
// forgotten at the end of a batch does not depend on the number of threads.
constexpr std::size_t kBatch = std::size_t{8} << 20;
constexpr std::size_t kSlice = std::size_t{256} << 10;

struct PieceHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view piece) const { return digest_bytes(piece.data(), piece.size()); }
};
using CountMap = std::unordered_map<std::string, std::int64_t, PieceHash, std::equal_to<>>;

// Adds to the count of a piece; returns the bytes by which the map grew.
std::size_t add_to(CountMap& counts, std::string_view piece, std::int64_t count) {
  const auto found = counts.find(piece);
  if (found != counts.end()) {
    found->second += count;
    return 0;
  }
  counts.emplace(piece, count);
  return piece.size();
}

// Where to end the first slice of `text`: rather at a safe cut far away than inside a piece.
std::size_t slice_end(std::string_view text) {
  if (text.size() <= kSlice) return text.size();
  for (const std::size_t limit : {kSlice, PieceSplitter::kLongestPiece}) {
    if (text.size() <= limit) return text.size();
    if (const std::size_t cut = last_safe_cut(text, limit); cut > 0) return cut;
  }
  // Megabytes without a single space after a letter: no language, but not inside a character either.
  std::size_t end = PieceSplitter::kLongestPiece;
  for (int i = 0; i < 3 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80; ++i) --end;
  return end;
}

class PieceCounter {
 public:
  PieceCounter(int num_threads, std::size_t most_bytes, PiecePattern pattern)
      : pool_(num_threads),
        splitter_(pattern),
        of_thread_(static_cast<std::size_t>(num_threads)),
        most_bytes_(most_bytes) {}

  void add(std::string_view text) {
    result_.text_bytes += text.size();
    while (!text.empty()) {
      const std::size_t size = slice_end(text);
      slices_.push_back({batch_.size(), size});
      batch_ += text.substr(0, size);
      text.remove_prefix(size);
      if (batch_.size() >= kBatch) count_batch();
    }
  }

  PieceCounts finish() && {
    count_batch();
    result_.pieces.reserve(counts_.size());
    while (!counts_.empty()) {
      auto node = counts_.extract(counts_.begin());
      result_.pieces.push_back({.bytes = std::move(node.key()), .count = node.mapped()});
    }
    std::sort(result_.pieces.begin(), result_.pieces.end(),
              [](const CountedPiece& a, const CountedPiece& b) { return a.bytes < b.bytes; });
    return std::move(result_);
  }

 private:
  struct Slice {
    std::size_t begin = 0, size = 0;
  };

  void count_batch() {
    pool_.for_each(static_cast<std::int64_t>(slices_.size()), [&](std::int64_t task, int thread) {
      const Slice slice = slices_[static_cast<std::size_t>(task)];
      CountMap& counts = of_thread_[static_cast<std::size_t>(thread)];
      PieceSplitter::Walk walk(splitter_, std::string_view(batch_).substr(slice.begin, slice.size));
      for (std::string_view piece; walk.next(piece);) add_to(counts, piece, 1);
    });
    for (CountMap& counts : of_thread_) {
      for (const auto& [piece, count] : counts) {
        bytes_ += add_to(counts_, piece, count);
        result_.total += count;
      }
      counts.clear();
    }
    slices_.clear();
    batch_.clear();
    if (bytes_ > most_bytes_) forget_rare_pieces();
  }

  void forget_rare_pieces() {
    for (std::int64_t most = 1; bytes_ > most_bytes_ / 2; most *= 2) {
      std::erase_if(counts_, [&](const auto& entry) {
        if (entry.second > most) return false;
        bytes_ -= entry.first.size();
        result_.forgotten += entry.second;
        return true;
      });
    }
  }

  ThreadPool pool_;
  PieceSplitter splitter_;
  std::string batch_;
  std::vector<Slice> slices_;
  std::vector<CountMap> of_thread_;
  CountMap counts_;
  std::size_t bytes_ = 0;  // of the keys of counts_
  std::size_t most_bytes_;
  PieceCounts result_;
};

}  // namespace

PieceCounts count_pieces(TextSource& source, int num_threads, std::size_t most_bytes, PiecePattern pattern) {
  PieceCounter counter(num_threads, most_bytes, pattern);
  for (std::string_view text; source.next(text);) counter.add(text);
  return std::move(counter).finish();
}

}  // namespace megalith
