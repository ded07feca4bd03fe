#include <algorithm>
#include <vector>

#include "data/dataset.h"
#include "data/sample_order.h"

namespace megalith {
namespace {

// Tokens begin .. begin + inputs, of which the last is only a target.
struct Window {
  std::int64_t begin = 0;
  std::int64_t inputs = 0;
};

// Whole documents, as many as fit into a window.
std::vector<Window> windows_of_documents(const TokenSet& tokens, std::int64_t sequence) {
  std::vector<Window> windows;
  std::int64_t begin = 0, end = 0;  // of the window that is being filled
  const auto close = [&] {
    for (; end - begin > 1; begin += std::min(sequence, end - begin - 1))
      windows.push_back({.begin = begin, .inputs = std::min(sequence, end - begin - 1)});
    begin = end;
  };
  for (std::int64_t d = 0; d < tokens.num_documents(); ++d) {
    const TokenRange document = tokens.document(d);
    if (document.begin + document.count - begin > sequence + 1) close();
    end = document.begin + document.count;
    if (end - begin > sequence + 1) close();
  }
  close();
  if (windows.empty()) windows.push_back({});
  return windows;
}

class TokenDataset final : public Dataset {
 public:
  TokenDataset(std::shared_ptr<const TokenSet> tokens, const TokenDatasetOptions& options)
      : tokens_(std::move(tokens)), options_(options), sequence_(options.sequence) {
    MEGALITH_CHECK(sequence_ >= 1, "sequence {}", sequence_);
    if (options.packing == Packing::documents) windows_ = windows_of_documents(*tokens_, sequence_);
    num_windows_ = windows_.empty() ? windows_in_stream(tokens_->num_tokens())
                                    : static_cast<std::int64_t>(windows_.size());
    if (options.shuffle_seed) order_.emplace(*options.shuffle_seed, num_windows_);
  }

  void fill(std::int64_t sample_index, std::int32_t* ids, std::int32_t* targets, std::uint8_t* loss_mask,
            std::int32_t* document_start) const override {
    const auto [begin, inputs] = window(number_of(sample_index));
    // Inputs and targets are the same tokens, one apart: read the inputs and the one that is left.
    tokens_->read(begin, inputs, ids);
    std::copy(ids + std::min<std::int64_t>(inputs, 1), ids + inputs, targets);
    if (inputs > 0) tokens_->read(begin + inputs, 1, targets + inputs - 1);
    if (options_.vocabulary > 0 && inputs > 0) check_ids(begin, inputs, ids, targets);
    std::fill(loss_mask, loss_mask + inputs, std::uint8_t{1});
    std::fill(ids + inputs, ids + sequence_, 0);
    std::fill(targets + inputs, targets + sequence_, 0);
    std::fill(loss_mask + inputs, loss_mask + sequence_, std::uint8_t{0});
    std::fill(document_start, document_start + sequence_, 0);
    const bool masks_prompts = options_.loss_on == LossOn::completion && tokens_->has_prompts();
    if (inputs == 0 || (!options_.document_masks && !masks_prompts)) return;
    // From the document of the first token to that of the last target.
    for (std::int64_t d = tokens_->document_of(begin); d < tokens_->num_documents(); ++d) {
      const TokenRange document = tokens_->document(d);
      if (document.begin > begin + inputs) break;
      const std::int64_t from = document.begin - begin, to = from + document.count;  // in this window
      if (options_.document_masks) mask_document(from, to, inputs, loss_mask, document_start);
      if (masks_prompts) mask_targets(from, from + tokens_->prompt_tokens(d), inputs, loss_mask);
    }
  }

  [[nodiscard]] std::int64_t samples_per_epoch() const override { return num_windows_; }

  [[nodiscard]] std::string describe_sample(std::int64_t sample_index) const override {
    const std::int64_t number = number_of(sample_index);
    const auto [begin, inputs] = window(number);
    std::string text = fmt::format("epoch {}, window {}", sample_index / num_windows_, number);
    if (inputs == 0) return text + ": no tokens";
    const std::int64_t end = begin + inputs;  // the last target
    text += fmt::format(": tokens {}..{}", begin, end);
    const std::int64_t first = tokens_->document_of(begin);
    const std::int64_t last = tokens_->document_of(end);
    text +=
        first == last ? fmt::format(", document {}", first) : fmt::format(", documents {}-{}", first, last);
    const std::string source = tokens_->source(first);
    return source.empty() ? text : text + " from " + source;
  }

 private:
  [[nodiscard]] std::int64_t windows_in_stream(std::int64_t num_tokens) const {
    if (num_tokens < 2) return 1;
    return (num_tokens - 2) / sequence_ + 1;  // (num_tokens - 1) / sequence, rounded up
  }

  [[nodiscard]] std::int64_t number_of(std::int64_t sample_index) const {
    MEGALITH_CHECK(sample_index >= 0, "sample {}", sample_index);
    return order_ ? order_->slot(sample_index) : sample_index % num_windows_;
  }

  [[nodiscard]] Window window(std::int64_t number) const {
    if (!windows_.empty()) return windows_[static_cast<std::size_t>(number)];
    const std::int64_t begin = number * sequence_;
    // Tokens from there on that have a next token.
    return {.begin = begin,
            .inputs = std::clamp<std::int64_t>(tokens_->num_tokens() - 1 - begin, 0, sequence_)};
  }

  void check_ids(std::int64_t begin, std::int64_t inputs, const std::int32_t* ids,
                 const std::int32_t* targets) const {
    const std::int32_t largest = std::max(ids[0], *std::max_element(targets, targets + inputs));
    if (largest < options_.vocabulary) return;
    throw RefusedInput(
        {{.where = tokens_->path_of(begin),
          .found = fmt::format("id {} among the tokens {}..{}", largest, begin, begin + inputs),
          .allowed = fmt::format("ids below {}", options_.vocabulary),
          .nearest = "megalith data verify"}});
  }

  // The document has the positions `from` to `to` of the window, as far as these are in it. Padding belongs
  // to the last one.
  void mask_document(std::int64_t from, std::int64_t to, std::int64_t inputs, std::uint8_t* loss_mask,
                     std::int32_t* document_start) const {
    if (from >= inputs || from == to) return;
    const std::int64_t start = std::max<std::int64_t>(from, 0);
    const std::int64_t end = to >= inputs ? sequence_ : to;
    std::fill(document_start + start, document_start + end, static_cast<std::int32_t>(start));
    if (to >= 1 && to <= inputs) loss_mask[to - 1] = 0;
  }

  // The target of a position is the token behind it.
  static void mask_targets(std::int64_t from, std::int64_t to, std::int64_t inputs, std::uint8_t* loss_mask) {
    const std::int64_t first = std::max<std::int64_t>(from - 1, 0), last = std::min(to - 1, inputs);
    if (first < last) std::fill(loss_mask + first, loss_mask + last, std::uint8_t{0});
  }

  std::shared_ptr<const TokenSet> tokens_;
  TokenDatasetOptions options_;
  std::int64_t sequence_;
  std::vector<Window> windows_;  // of Packing::documents
  std::int64_t num_windows_ = 0;
  std::optional<SampleOrder> order_;  // none: the order of the file
};

}  // namespace

std::unique_ptr<Dataset> make_token_dataset(std::shared_ptr<const TokenSet> tokens,
                                            const TokenDatasetOptions& options) {
  return std::make_unique<TokenDataset>(std::move(tokens), options);
}

}  // namespace megalith
