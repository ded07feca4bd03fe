#include "device/cuda/verdict_board.h"

#include <algorithm>

namespace megalith::cuda {

bool VerdictBoard::has_room_for(const Verdict* verdict) const {
  return verdict == nullptr || verdicts_.size() + 1 < words_.size() ||
         std::find(verdicts_.begin(), verdicts_.end(), verdict) != verdicts_.end();
}

std::uint32_t* VerdictBoard::word_of(Verdict* verdict) {
  if (verdict == nullptr) return words_.data();
  const auto known = std::find(verdicts_.begin(), verdicts_.end(), verdict);
  const auto index = static_cast<std::size_t>(known - verdicts_.begin());
  if (known == verdicts_.end()) verdicts_.push_back(verdict);
  return &words_[index + 1];
}

void VerdictBoard::settle() {
  words_[0] = 0;
  for (std::size_t i = 0; i < verdicts_.size(); ++i) {
    // Written by the device: the value must come from memory now.
    volatile std::uint32_t* word = &words_[i + 1];
    if (*word != 0) verdicts_[i]->declare_bad();
    *word = 0;
  }
  verdicts_.clear();
}

}  // namespace megalith::cuda
