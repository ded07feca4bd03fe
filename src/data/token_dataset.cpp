#include <algorithm>

#include "data/dataset.h"
#include "data/sample_order.h"

namespace megalith {
namespace {

class TokenDataset final : public Dataset {
 public:
  TokenDataset(std::shared_ptr<const TokenFile> tokens, std::int64_t sequence,
               std::optional<std::uint64_t> shuffle_seed, bool document_masks)
      : tokens_(std::move(tokens)),
        sequence_(sequence),
        num_windows_(windows_in(tokens_->num_tokens(), sequence)),
        document_masks_(document_masks) {
    if (shuffle_seed) order_.emplace(*shuffle_seed, num_windows_);
  }

  void fill(std::int64_t sample_index, std::int32_t* ids, std::int32_t* targets, std::uint8_t* loss_mask,
            std::int32_t* document_start) const override {
    const std::int64_t begin = window_of(sample_index) * sequence_;
    const std::int64_t inputs = inputs_at(begin);
    // Inputs and targets are the same tokens, one apart: read the inputs and the one that is left.
    tokens_->read(begin, inputs, ids);
    std::copy(ids + std::min<std::int64_t>(inputs, 1), ids + inputs, targets);
    if (inputs > 0) tokens_->read(begin + inputs, 1, targets + inputs - 1);
    std::fill(loss_mask, loss_mask + inputs, std::uint8_t{1});
    std::fill(ids + inputs, ids + sequence_, 0);
    std::fill(targets + inputs, targets + sequence_, 0);
    std::fill(loss_mask + inputs, loss_mask + sequence_, std::uint8_t{0});
    std::fill(document_start, document_start + sequence_, 0);
    if (document_masks_ && inputs > 0) mask_documents(begin, inputs, loss_mask, document_start);
  }

  [[nodiscard]] std::int64_t samples_per_epoch() const override { return num_windows_; }

  [[nodiscard]] std::string describe_sample(std::int64_t sample_index) const override {
    const std::int64_t window = window_of(sample_index);
    const std::int64_t begin = window * sequence_;
    const std::int64_t inputs = inputs_at(begin);
    std::string text = fmt::format("epoch {}, window {}", sample_index / num_windows_, window);
    if (inputs == 0) return text + ": no tokens";
    const std::int64_t end = begin + inputs;  // the last target
    text += fmt::format(": tokens {}..{}", begin, end);
    const std::int64_t first = tokens_->document_of(begin);
    const std::int64_t last = tokens_->document_of(end);
    return text + (first == last ? fmt::format(", document {}", first)
                                 : fmt::format(", documents {}-{}", first, last));
  }

 private:
  static std::int64_t windows_in(std::int64_t num_tokens, std::int64_t sequence) {
    MEGALITH_CHECK(sequence >= 1, "sequence {}", sequence);
    if (num_tokens < 2) return 1;
    return (num_tokens - 2) / sequence + 1;  // (num_tokens - 1) / sequence, rounded up
  }

  [[nodiscard]] std::int64_t window_of(std::int64_t sample_index) const {
    MEGALITH_CHECK(sample_index >= 0, "sample {}", sample_index);
    return order_ ? order_->slot(sample_index) : sample_index % num_windows_;
  }

  // Tokens of the window from `begin` on that have a next token.
  [[nodiscard]] std::int64_t inputs_at(std::int64_t begin) const {
    return std::clamp<std::int64_t>(tokens_->num_tokens() - 1 - begin, 0, sequence_);
  }

  // Padding belongs to the last document of the window.
  void mask_documents(std::int64_t begin, std::int64_t inputs, std::uint8_t* loss_mask,
                      std::int32_t* document_start) const {
    std::int64_t document = tokens_->document_of(begin);
    std::int64_t next = document_end(document);
    std::int32_t start = 0;
    for (std::int64_t i = 0; i < sequence_; ++i) {
      if (i < inputs && begin + i == next) {
        start = static_cast<std::int32_t>(i);
        while (next == begin + i) next = document_end(++document);  // empty ones end where they begin
      }
      document_start[i] = start;
      if (begin + i + 1 == next) loss_mask[i] = 0;
    }
  }

  [[nodiscard]] std::int64_t document_end(std::int64_t document) const {
    const TokenRange range = tokens_->document(document);
    return range.begin + range.count;
  }

  std::shared_ptr<const TokenFile> tokens_;
  std::int64_t sequence_;
  std::int64_t num_windows_;
  bool document_masks_;
  std::optional<SampleOrder> order_;  // none: the order of the file
};

}  // namespace

std::unique_ptr<Dataset> make_token_dataset(std::shared_ptr<const TokenFile> tokens, std::int64_t sequence,
                                            std::optional<std::uint64_t> shuffle_seed, bool document_masks) {
  return std::make_unique<TokenDataset>(std::move(tokens), sequence, shuffle_seed, document_masks);
}

}  // namespace megalith
