#include "data/tokenizer/piece_counts.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "core/thread_pool.h"
#include "data/tokenizer/piece_splitter.h"
#include "data/tokenizer/piece_tally.h"
#include "data/tokenizer/short_piece.h"

namespace megalith {
namespace {

// Text is counted in batches of slices, cut where no piece is. Both sizes are fixed, so that what is
// forgotten at the end of a batch does not depend on the number of threads.
constexpr std::size_t kBatch = std::size_t{8} << 20;
constexpr std::size_t kSlice = std::size_t{256} << 10;

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
    result_.pieces.reserve(counts_.num_pieces());
    counts_.for_each([&](std::string piece, std::int64_t count) {
      result_.pieces.push_back({.bytes = std::move(piece), .count = count});
    });
    counts_.clear();
    std::sort(result_.pieces.begin(), result_.pieces.end(),
              [](const CountedPiece& a, const CountedPiece& b) { return a.bytes < b.bytes; });
    return std::move(result_);
  }

 private:
  struct Slice {
    std::size_t begin = 0, size = 0;
  };
  struct OfThread {
    PieceTally counts;
    std::int64_t num_pieces = 0;
  };

  void count_batch() {
    pool_.for_each(static_cast<std::int64_t>(slices_.size()), [&](std::int64_t task, int thread) {
      const Slice slice = slices_[static_cast<std::size_t>(task)];
      count_slice(std::string_view(batch_).substr(slice.begin, slice.size),
                  of_thread_[static_cast<std::size_t>(thread)]);
    });
    for (OfThread& one : of_thread_) {
      counts_.add(one.counts);
      result_.total += std::exchange(one.num_pieces, 0);
      one.counts.clear();
    }
    slices_.clear();
    batch_.clear();
    if (counts_.bytes() > most_bytes_) forget_rare_pieces();
  }

  void forget_rare_pieces() {
    for (std::int64_t most = 1; counts_.bytes() > most_bytes_ / 2; most *= 2) {
      result_.forgotten += counts_.take_out_up_to(most);
    }
  }

  void count_slice(std::string_view slice, OfThread& one) const {
    // Some pieces are cut before the first of them is counted, so that the table's memory is there by then.
    constexpr std::size_t kAhead = 32;
    std::array<ShortPiece, kAhead> keys;
    const char* const end = slice.data() + slice.size();
    PieceSplitter::Walk walk(splitter_, slice);
    std::size_t ahead = 0;
    const auto count_ahead = [&] {
      for (std::size_t i = 0; i < ahead; ++i) one.counts.add(keys[i], 1);
      ahead = 0;
    };
    for (std::string_view piece; walk.next(piece); ++one.num_pieces) {
      if (piece.size() > ShortPiece::kMostBytes) {
        one.counts.add(piece, 1);
        continue;
      }
      keys[ahead] = ShortPiece::of(piece, end);
      one.counts.prefetch(keys[ahead]);
      if (++ahead == kAhead) count_ahead();
    }
    count_ahead();
  }

  ThreadPool pool_;
  PieceSplitter splitter_;
  std::string batch_;
  std::vector<Slice> slices_;
  std::vector<OfThread> of_thread_;
  PieceTally counts_;
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
