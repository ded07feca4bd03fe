// Training samples by number: the same number gives the same sample on every machine, rank and run.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "data/token_set.h"

namespace megalith {

// Immutable: every method may be called from many threads at once.
class Dataset {
 public:
  Dataset() = default;
  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;
  virtual ~Dataset() = default;

  // Each array has one entry per position of the sequence. Where loss_mask is 0 there is no target to learn
  // and `targets` still holds an id of the vocabulary. document_start is the position, in this sequence, of
  // the first token of the document that the position belongs to. REQUIRES: sample_index >= 0.
  virtual void fill(std::int64_t sample_index, std::int32_t* ids, std::int32_t* targets,
                    std::uint8_t* loss_mask, std::int32_t* document_start) const = 0;

  // At least 1. Sample indices go on beyond it: the next epoch.
  [[nodiscard]] virtual std::int64_t samples_per_epoch() const = 0;

  // Sources of a blend, in a fixed order; none where all samples come from one.
  [[nodiscard]] virtual std::span<const std::string> source_names() const { return {}; }
  // How many of the first `samples` come from a source, and how many of its epochs these are. REQUIRES: the
  // source is one of source_names().
  [[nodiscard]] virtual std::int64_t samples_of_source(std::size_t /*source*/, std::int64_t samples) const {
    return samples;
  }
  [[nodiscard]] virtual std::size_t source_of_sample(std::int64_t /*sample_index*/) const { return 0; }
  [[nodiscard]] virtual double epochs_of_source(std::size_t /*source*/, std::int64_t samples) const {
    return static_cast<double>(samples) / static_cast<double>(samples_per_epoch());
  }

  // Where a sample comes from, for messages: "epoch 0, window 17: tokens 4352..4608, documents 3-4".
  [[nodiscard]] virtual std::string describe_sample(std::int64_t sample_index) const = 0;
};

enum class LossOn {
  all,
  completion,  // of documents with a prompt, targets in the prompt are masked; others count as a whole
};

enum class Packing {
  // Window w covers the sequence + 1 tokens from w * sequence on, so neighbours share one; documents are cut
  // where a
  // window ends. Costs no memory.
  stream,
  // Windows begin and end with documents: as many as fit, in the order of the file. What is longer than a
  // window
  // is cut into windows of its own. Opening reads the whole index; 16 bytes a window.
  documents,
};

struct TokenDatasetOptions {
  std::int64_t sequence = 0;                       // >= 1
  std::optional<std::uint64_t> shuffle_seed = {};  // none: the order of the file
  // Attention is to stay inside documents (document_start) and a document's last token has no target (mask
  // 0); without, document_start is 0 throughout.
  bool document_masks = false;
  LossOn loss_on = LossOn::all;
  Packing packing = Packing::stream;
  // Above 0: an id that is not below it is refused (RefusedInput) by the fill() that meets it.
  std::int64_t vocabulary = 0;
};

// Windows over token files; where a window has fewer tokens than a sequence it is padded with id 0, target
// 0, mask 0. With a shuffle seed every epoch visits all windows once in an order of its own.
std::unique_ptr<Dataset> make_token_dataset(std::shared_ptr<const TokenSet> tokens,
                                            const TokenDatasetOptions& options);

// Text of a made-up language, which depends on the seed, for runs without data (docs/formats.md says how it
// is drawn). Held-out samples are drawn from the same language and shared with no training sample. REQUIRES:
// vocabulary >= 1, sequence >= 1.
std::unique_ptr<Dataset> make_synthetic_dataset(std::int64_t vocabulary, std::int64_t sequence,
                                                std::uint64_t seed, bool held_out);

}  // namespace megalith
