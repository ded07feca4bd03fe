#include "train/batch_buffers.h"

#include <algorithm>

#include "core/digest.h"

namespace megalith {

BatchBuffers::BatchBuffers(std::int64_t sequences, std::int64_t sequence)
    : ids_(static_cast<std::size_t>(sequences * sequence)),
      targets_(ids_.size()),
      document_start_(ids_.size()),
      positions_(ids_.size()),
      loss_mask_(ids_.size()),
      samples_(static_cast<std::size_t>(sequences)),
      batch_{.sequences = sequences,
             .sequence = sequence,
             .ids = ids_.data(),
             .targets = targets_.data(),
             .loss_mask = loss_mask_.data(),
             .document_start = document_start_.data(),
             .positions = positions_.data(),
             .samples = samples_.data()} {}

const MicroBatch& BatchBuffers::fill(const Dataset& dataset, std::int64_t first_sample, std::int64_t used) {
  MEGALITH_CHECK(used <= batch_.sequences, "{} of {} sequences", used, batch_.sequences);
  for (std::int64_t i = 0; i < used; ++i) {
    const std::size_t t = static_cast<std::size_t>(i * batch_.sequence);
    dataset.fill(first_sample + i, ids_.data() + t, targets_.data() + t, loss_mask_.data() + t,
                 document_start_.data() + t);
    samples_[static_cast<std::size_t>(i)] = first_sample + i;
  }
  const auto filled = static_cast<std::ptrdiff_t>(used * batch_.sequence);
  std::fill(ids_.begin() + filled, ids_.end(), 0);
  std::fill(targets_.begin() + filled, targets_.end(), 0);
  std::fill(loss_mask_.begin() + filled, loss_mask_.end(), std::uint8_t{0});
  std::fill(document_start_.begin() + filled, document_start_.end(), 0);
  for (std::size_t t = 0; t < positions_.size(); ++t) {
    positions_[t] =
        static_cast<std::int32_t>(t % static_cast<std::size_t>(batch_.sequence)) - document_start_[t];
  }
  return batch_;
}

std::uint64_t BatchBuffers::digest(std::int64_t used) const {
  std::uint64_t sum = 0;
  const auto sequence = static_cast<std::size_t>(batch_.sequence);
  for (std::size_t b = 0; b < static_cast<std::size_t>(used); ++b) {
    Digester digester;
    digester.update(&samples_[b], sizeof(samples_[b]));
    digester.update(&ids_[b * sequence], sequence * sizeof(ids_[0]));
    digester.update(&targets_[b * sequence], sequence * sizeof(targets_[0]));
    digester.update(&loss_mask_[b * sequence], sequence);
    sum += digester.value();
  }
  return sum;
}

}  // namespace megalith
