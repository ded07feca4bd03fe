// Words that kernels set when something is bad, and whose verdict each stands for. The words are memory that
// device and host both see; the board only keeps the books.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "device/matmul.h"

namespace megalith::cuda {

class VerdictBoard {
 public:
  static constexpr std::size_t kWords = 64;
  // `words` must be zero and outlive the board.
  explicit VerdictBoard(std::span<std::uint32_t> words) : words_(words) {}

  // The verdict's word, the same until settle(). The first word is for a null verdict, which nobody reads.
  // When all words are taken, `wait` is called, which must wait for the device, and the board is settled
  // first.
  template <class Wait>
  std::uint32_t* word_of(Verdict* verdict, Wait wait) {
    if (!has_room_for(verdict)) {
      wait();
      settle();
    }
    return word_of(verdict);
  }
  // Tells every verdict what its word says, clears the words and forgets the verdicts. The device must have
  // nothing under way.
  void settle();

 private:
  [[nodiscard]] bool has_room_for(const Verdict* verdict) const;
  std::uint32_t* word_of(Verdict* verdict);

  std::span<std::uint32_t> words_;
  std::vector<Verdict*> verdicts_;  // verdicts_[i] has words_[i + 1]
};

}  // namespace megalith::cuda
